import type { GatehouseError } from '@gatehouse/kit/errors';

import { postgresError } from '../errors.js';

/** Why the agent has no session at the database; `why` names no secret. */
export function loginFailed(why: string, cause?: unknown): GatehouseError {
  return postgresError('POSTGRES_LOGIN_FAILED', {
    reason: 'login_failed',
    details: { why },
    ...(cause === undefined ? {} : { cause }),
  });
}
