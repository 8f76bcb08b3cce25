/** What a search or tail asks for, and what of it the asker may see. */
import type { EventFilter as WireFilter } from '@gatehouse/proto/audit/v1/audit_service';

import { auditError } from '../errors.js';

/** Who did something: a person, not whoever had the name before. */
export interface Owner {
  readonly name: string;
  /** When the person's account was made. */
  readonly since: Date;
}

export interface EventFilter {
  /** Exact, or a glob with `*`. */
  readonly typePattern?: string | undefined;
  readonly actorName?: string | undefined;
  readonly targetName?: string | undefined;
  readonly sessionId?: string | undefined;
  readonly outcome?: string | undefined;
  /** Not before. */
  readonly from?: Date | undefined;
  /** Before. */
  readonly to?: Date | undefined;
  /** Anywhere in the event's texts, whatever the case. */
  readonly text?: string | undefined;
  /** Only what this person did. */
  readonly owner?: Owner | undefined;
}

const maxChars = 1024;

/**
 * A request's filter, narrowed to what its sender may see.
 * @param owner the sender, where they see only what they did
 * @throws AUDIT_FILTER for texts that are too long and times that are none
 */
export function readFilter(filter: WireFilter | undefined, owner: Owner | undefined): EventFilter {
  const text = (name: string, value: string | undefined): string | undefined => {
    if (value === undefined || value === '') return undefined;
    if (value.length > maxChars)
      throw auditError('AUDIT_FILTER', { details: { why: `${name} is too long` } });
    // No stored text holds NUL or a lone surrogate; the database would refuse to compare with one.
    return value.toWellFormed().replaceAll('\0', '\ufffd');
  };
  const time = (name: string, value: Date | undefined): Date | undefined => {
    if (value !== undefined && !isStorable(value))
      throw auditError('AUDIT_FILTER', { details: { why: `${name} is no time` } });
    return value;
  };
  return {
    typePattern: text('type', filter?.type),
    actorName: text('user', filter?.user),
    targetName: text('target', filter?.target),
    sessionId: text('session', filter?.sessionId),
    outcome: text('outcome', filter?.outcome),
    from: time('from', filter?.from),
    to: time('to', filter?.to),
    text: text('text', filter?.text),
    owner,
  };
}

/** Within the years that a timestamp column takes. */
function isStorable(time: Date): boolean {
  const ms = time.getTime();
  return ms > Date.UTC(0, 0) && ms < Date.UTC(9999, 0);
}
