import { auditError } from '../errors.js';

const defaultLimit = 100;
const maxLimit = 500;

/** How many of a list: 0 is 100, more than 500 is 500. @throws AUDIT_FILTER for less than none */
export function readLimit(limit: number): number {
  if (limit < 0) throw auditError('AUDIT_FILTER', { details: { why: 'limit is negative' } });
  return limit === 0 ? defaultLimit : Math.min(limit, maxLimit);
}
