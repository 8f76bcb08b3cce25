import { filterOptions, toFilter } from '../audit/filters.js';
import { formatEventLine, parseEvent } from '../audit/format-event.js';
import { withAudit } from '../cluster/clients.js';
import { defineCommand, exitCodes } from '../command.js';
import { parseCountOption } from '../options.js';
import { writeJson } from '../output/json.js';

/** `gate audit search` */
export const command = defineCommand({
  name: 'audit search',
  usage: '[filters] [--limit N] [--page PAGE]',
  summary: 'search audit events, newest first',
  help: {
    examples: [
      'gate audit search --user alice --outcome denied',
      "gate audit search --type 'ssh.*' --from 2026-11-25T00:00:00Z",
      'gate audit search --session ses_… --format json',
    ],
  },
  options: {
    ...filterOptions,
    limit: { type: 'text', value: 'N', help: 'at most so many, up to 500; default 100' },
    page: { type: 'text', value: 'PAGE', help: 'nextPage of the last answer' },
  },
  arguments: { min: 0, max: 0 },
  async run(call) {
    const { environment, options } = call;
    const filter = toFilter(options);
    const limit = parseCountOption('--limit', options.limit, 500) ?? 100;
    const page = await withAudit(call, (client) =>
      client.searchEvents({ filter, limit, pageToken: options.page ?? '', ascending: false }),
    );
    const events = page.eventsJson.map(parseEvent);
    const nextPage = page.nextPageToken === '' ? null : page.nextPageToken;
    if (options.format === 'json') {
      writeJson(environment, { events: events.map(({ raw }) => raw), nextPage });
      return exitCodes.done;
    }
    environment.stdout.write(events.map(({ event }) => `${formatEventLine(event)}\n`).join(''));
    if (events.length === 0) environment.stderr.write('no events\n');
    if (nextPage !== null) environment.stderr.write(`more: --page ${nextPage}\n`);
    return exitCodes.done;
  },
});
