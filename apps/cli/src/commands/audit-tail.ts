import { filterOptions, toFilter } from '../audit/filters.js';
import { formatEventLine, parseEvent } from '../audit/format-event.js';
import { withAudit } from '../cluster/clients.js';
import { defineCommand, exitCodes } from '../command.js';
import { writeJson } from '../output/json.js';

/** `gate audit tail` */
export const command = defineCommand({
  name: 'audit tail',
  usage: '[filters]',
  summary: 'follow audit events as they are stored',
  help: {
    examples: [
      'gate audit tail',
      'gate audit tail --outcome denied',
      "gate audit tail --type 'session.*' --format json",
    ],
    notes: ['Goes on until ctrl-C. With --format json one event a line.'],
  },
  options: filterOptions,
  arguments: { min: 0, max: 0 },
  async run(call) {
    const { environment, options } = call;
    const filter = toFilter(options);
    await withAudit(call, async (client) => {
      let isFollowing = false;
      for await (const { eventJson } of client.tailEvents({ filter })) {
        if (!isFollowing) environment.stderr.write('following; ctrl-C ends\n');
        isFollowing = true;
        if (eventJson === '') continue;
        const { raw, event } = parseEvent(eventJson);
        if (options.format === 'json') writeJson(environment, raw);
        else environment.stdout.write(`${formatEventLine(event)}\n`);
      }
    });
    return exitCodes.done;
  },
});
