import { withAdministration } from '../cluster/clients.js';
import { defineCommand, exitCodes } from '../command.js';
import { writeJson } from '../output/json.js';
import { formatRelative, formatTable, widthOf } from '../output/text.js';

/** `gate sessions ls` */
export const command = defineCommand({
  name: 'sessions ls',
  usage: '',
  summary: 'list live sessions',
  help: {
    examples: ['gate sessions ls', 'gate sessions ls --format json', 'gate sessions end ses_…'],
    notes: ['Everybody sees their own; who may read sessions sees all.'],
  },
  options: {},
  arguments: { min: 0, max: 0 },
  async run(call) {
    const { environment, options } = call;
    const { sessions } = await withAdministration(call, (client) => client.listSessions({}));
    if (options.format === 'json') {
      const rows = sessions.map(({ startedAt, ...session }) => ({
        ...session,
        startedAt: startedAt?.toISOString() ?? null,
        participants: [session.user],
      }));
      writeJson(environment, rows);
      return exitCodes.done;
    }
    if (sessions.length === 0) environment.stderr.write('no live sessions\n');
    else {
      const now = environment.clock.now();
      const columns = [
        { title: 'ID', drop: 0, value: (row: (typeof sessions)[number]) => row.id },
        { title: 'USER', drop: 0, value: (row: (typeof sessions)[number]) => row.user },
        { title: 'TARGET', drop: 0, value: (row: (typeof sessions)[number]) => row.target },
        { title: 'AS', drop: 2, value: (row: (typeof sessions)[number]) => row.principal },
        { title: 'PROTOCOL', drop: 3, value: (row: (typeof sessions)[number]) => row.protocol },
        {
          title: 'SINCE',
          drop: 1,
          value: (row: (typeof sessions)[number]) =>
            row.startedAt === undefined ? '' : formatRelative(row.startedAt.getTime(), now),
        },
      ];
      environment.stdout.write(formatTable(sessions, columns, widthOf(environment.stdout)));
    }
    return exitCodes.done;
  },
});
