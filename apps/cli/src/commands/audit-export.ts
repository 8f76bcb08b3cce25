import { filterOptions, toFilter } from '../audit/filters.js';
import { withAudit } from '../cluster/clients.js';
import { defineCommand, exitCodes } from '../command.js';
import { createProgress } from '../output/progress.js';

/** Most events asked for at once. */
const pageSize = 500;

/** `gate audit export` */
export const command = defineCommand({
  name: 'audit export',
  usage: '[filters]',
  summary: 'print events as JSON, one a line, in stored order',
  help: {
    examples: [
      'gate audit export > events.jsonl',
      'gate audit export --from 2026-11-01T00:00:00Z',
      'gate audit export --user alice',
    ],
  },
  options: filterOptions,
  arguments: { min: 0, max: 0 },
  async run(call) {
    const { environment } = call;
    const filter = toFilter(call.options);
    using progress = createProgress(environment, 'events');
    await withAudit(call, async (client) => {
      let pageToken = '';
      do {
        const page = await client.searchEvents({
          filter,
          limit: pageSize,
          pageToken,
          ascending: true,
        });
        environment.stdout.write(page.eventsJson.map((json) => `${json}\n`).join(''));
        progress.add(page.eventsJson.length);
        pageToken = page.nextPageToken;
      } while (pageToken !== '');
    });
    return exitCodes.done;
  },
});
