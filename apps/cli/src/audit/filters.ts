/** Filters that `audit search`, `tail` and `export` share. */
import type { OptionTable, OptionValues } from '../command.js';
import { usageError } from '../errors.js';
import { parseTimeOption } from '../options.js';

/** The options that say which events. */
export const filterOptions = {
  type: { type: 'text', value: 'TYPE', help: 'type of event, also as ssh.*' },
  user: { type: 'text', value: 'NAME', help: 'who did it' },
  target: { type: 'text', value: 'NAME', help: 'exact name of the target' },
  session: { type: 'text', value: 'ses_…', help: 'of one session' },
  outcome: { type: 'text', value: 'success|failure|denied', help: 'how it ended' },
  from: { type: 'text', value: 'TIME', help: 'not before, RFC 3339' },
  to: { type: 'text', value: 'TIME', help: 'before, RFC 3339' },
  text: { type: 'text', value: 'TEXT', help: 'text within what the event keeps' },
} as const satisfies OptionTable;

/** @throws USAGE for bad times and outcomes */
export function toFilter(options: OptionValues<typeof filterOptions>) {
  const { outcome = '' } = options;
  if (!['', 'success', 'failure', 'denied'].includes(outcome)) {
    throw usageError(`--outcome is success, failure or denied, not ${outcome}`);
  }
  const from = parseTimeOption('--from', options.from);
  const to = parseTimeOption('--to', options.to);
  return {
    type: options.type ?? '',
    user: options.user ?? '',
    target: options.target ?? '',
    sessionId: options.session ?? '',
    outcome,
    text: options.text ?? '',
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
  };
}
