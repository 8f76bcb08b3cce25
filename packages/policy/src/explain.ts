import type { AccessRequest } from './decision.js';

/** Why: a line per role, then the verdict. For people who may read roles. */
export function explainAccess(request: AccessRequest): readonly string[] {
  throw new Error(`not yet: ${request.user}`);
}
