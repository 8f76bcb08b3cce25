import { withAdministration } from '../cluster/clients.js';
import { defineCommand, exitCodes } from '../command.js';
import { describeAgent } from '../documents/describe-agent.js';
import { writeJson } from '../output/json.js';
import { formatTable, widthOf } from '../output/text.js';

/** `gate agents ls` */
export const command = defineCommand({
  name: 'agents ls',
  usage: '',
  summary: 'list agents and whether they are connected',
  help: { examples: ['gate agents ls', 'gate agents ls --format json', 'gate agents show a1'] },
  options: {},
  arguments: { min: 0, max: 0 },
  async run(call) {
    const { environment, options } = call;
    const { agents } = await withAdministration(call, (client) => client.listAgents({}));
    const rows = agents.map(describeAgent);
    if (options.format === 'json') writeJson(environment, rows);
    else if (rows.length === 0)
      environment.stderr.write('no agents yet; add one: gate tokens add --type agent\n');
    else {
      const columns = [
        { title: 'NAME', drop: 0, value: (row: (typeof rows)[number]) => row.name },
        { title: 'STATUS', drop: 0, value: (row: (typeof rows)[number]) => row.status },
        { title: 'GROUP', drop: 3, value: (row: (typeof rows)[number]) => row.group },
        { title: 'TARGETS', drop: 1, value: (row: (typeof rows)[number]) => row.targets.join(',') },
        { title: 'VERSION', drop: 2, value: (row: (typeof rows)[number]) => row.version },
        { title: 'ID', drop: 4, value: (row: (typeof rows)[number]) => row.id },
      ];
      environment.stdout.write(formatTable(rows, columns, widthOf(environment.stdout)));
    }
    return exitCodes.done;
  },
});
