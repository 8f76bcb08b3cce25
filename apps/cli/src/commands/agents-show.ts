import { withAdministration } from '../cluster/clients.js';
import { defineCommand, exitCodes } from '../command.js';
import { describeAgent } from '../documents/describe-agent.js';
import { cliError } from '../errors.js';
import { writeJson } from '../output/json.js';
import { printable } from '../output/text.js';

/** `gate agents show` */
export const command = defineCommand({
  name: 'agents show',
  usage: 'NAME',
  summary: 'show one agent',
  help: {
    examples: [
      'gate agents show a1',
      'gate agents show agt_…',
      'gate agents show a1 --format json',
    ],
  },
  options: {},
  arguments: { min: 1, max: 1 },
  async run(call) {
    const { environment, options } = call;
    const wanted = call.arguments[0] ?? '';
    const { agents } = await withAdministration(call, (client) => client.listAgents({}));
    const found = agents.find((agent) => agent.name === wanted || agent.id === wanted);
    if (found === undefined)
      throw cliError('NOT_FOUND', {
        details: { what: `agent ${wanted}` },
        remedy: 'gate agents ls',
      });
    const agent = describeAgent(found);
    if (options.format === 'json') writeJson(environment, agent);
    else {
      for (const [name, value] of Object.entries(agent)) {
        const text = Array.isArray(value) ? value.join(', ') : String(value ?? '-');
        environment.stdout.write(`${name.padEnd(12)}${printable(text)}\n`);
      }
    }
    return exitCodes.done;
  },
});
