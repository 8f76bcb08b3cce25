import type { DeadLetter } from '@gatehouse/proto/audit/v1/audit_service';

import { listDeadLetters } from '../audit/dead-letters.js';
import { withAudit } from '../cluster/clients.js';
import { defineCommand, exitCodes } from '../command.js';
import { parseCountOption } from '../options.js';
import { writeJson } from '../output/json.js';
import { formatRelative, formatTable, widthOf } from '../output/text.js';

/** `gate audit dead ls` */
export const command = defineCommand({
  name: 'audit dead ls',
  usage: '[--all] [--limit N]',
  summary: 'list records that could not be stored, oldest first',
  help: {
    examples: [
      'gate audit dead ls',
      'gate audit dead ls --all --format json',
      'gate audit dead replay ID',
    ],
    notes: ['For who may read all events. They are kept for 30 days.'],
  },
  options: {
    all: { type: 'boolean', help: 'those too that were put back on their topic' },
    limit: { type: 'text', value: 'N', help: 'at most so many; default 100' },
  },
  arguments: { min: 0, max: 0 },
  async run(call) {
    const { environment, options } = call;
    const limit = parseCountOption('--limit', options.limit, 100_000) ?? 100;
    const letters = await withAudit(call, async (client) =>
      listDeadLetters(client, { withReplayed: options.all, limit }),
    );
    if (options.format === 'json') {
      writeJson(environment, letters.map(toJson));
      return exitCodes.done;
    }
    if (letters.length === 0) {
      environment.stderr.write('no dead letters\n');
      return exitCodes.done;
    }
    const now = environment.clock.now();
    const columns = [
      { title: 'ID', drop: 0, value: (row: DeadLetter) => row.id },
      {
        title: 'SINCE',
        drop: 2,
        value: (row: DeadLetter) =>
          row.time === undefined ? '' : formatRelative(row.time.getTime(), now),
      },
      { title: 'REPLAYED', drop: 3, value: (row: DeadLetter) => row.replayedBy },
      { title: 'REASON', drop: 1, value: (row: DeadLetter) => row.reason },
    ];
    environment.stdout.write(formatTable(letters, columns, widthOf(environment.stdout)));
    return exitCodes.done;
  },
});

function toJson({ time, replayedAt, replayedBy, ...rest }: DeadLetter) {
  return {
    ...rest,
    time: time?.toISOString() ?? null,
    replayedAt: replayedAt?.toISOString() ?? null,
    replayedBy: replayedBy === '' ? null : replayedBy,
  };
}
