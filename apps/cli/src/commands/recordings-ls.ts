import type { RecordingSummary } from '@gatehouse/proto/audit/v1/audit_service';

import { withAudit } from '../cluster/clients.js';
import { defineCommand, exitCodes } from '../command.js';
import type { Environment } from '../environment.js';
import { parseCountOption } from '../options.js';
import { writeJson } from '../output/json.js';
import { formatDuration, formatRelative, formatTable, widthOf } from '../output/text.js';

/** `gate recordings ls` */
export const command = defineCommand({
  name: 'recordings ls',
  usage: '[--user NAME] [--target NAME] [--session ID] [--limit N]',
  summary: 'list recordings, newest first',
  help: {
    examples: [
      'gate recordings ls',
      'gate recordings ls --user alice',
      'gate recordings ls --format json',
    ],
  },
  options: {
    user: { type: 'text', value: 'NAME', help: 'who' },
    target: { type: 'text', value: 'NAME', help: 'where' },
    session: { type: 'text', value: 'ses_…', help: 'of one session' },
    limit: { type: 'text', value: 'N', help: 'at most so many; default 100' },
  },
  arguments: { min: 0, max: 0 },
  async run(call) {
    const { environment, options } = call;
    const limit = parseCountOption('--limit', options.limit, 100_000) ?? 100;
    const { user = '', target = '', session = '' } = options;
    const recordings = await withAudit(call, async (client) => {
      const found: RecordingSummary[] = [];
      let pageToken = '';
      do {
        const page = await client.listRecordings({
          user,
          target,
          sessionId: session,
          limit: Math.min(limit - found.length, 100),
          pageToken,
        });
        found.push(...page.recordings);
        pageToken = page.nextPageToken;
      } while (pageToken !== '' && found.length < limit);
      return found;
    });
    if (options.format === 'json') writeJson(environment, recordings.map(toJson));
    else environment.stdout.write(formatRows(environment, recordings));
    return exitCodes.done;
  },
});

function toJson({ startedAt, durationMs, bytes, ...rest }: RecordingSummary) {
  return {
    ...rest,
    startedAt: startedAt?.toISOString() ?? null,
    durationMs: Number(durationMs),
    bytes: Number(bytes),
  };
}

function formatRows(environment: Environment, recordings: readonly RecordingSummary[]): string {
  if (recordings.length === 0) {
    environment.stderr.write('no recordings\n');
    return '';
  }
  const now = environment.clock.now();
  return formatTable(
    recordings,
    [
      { title: 'ID', drop: 0, value: (row) => row.id },
      { title: 'USER', drop: 0, value: (row) => row.user },
      { title: 'TARGET', drop: 0, value: (row) => row.target },
      {
        title: 'STARTED',
        drop: 1,
        value: (row) =>
          row.startedAt === undefined ? '' : formatRelative(row.startedAt.getTime(), now),
      },
      { title: 'LENGTH', drop: 2, value: (row) => formatDuration(Number(row.durationMs)) },
      { title: 'STATE', drop: 3, value: (row) => (row.complete ? 'complete' : 'running or cut') },
    ],
    widthOf(environment.stdout),
  );
}
