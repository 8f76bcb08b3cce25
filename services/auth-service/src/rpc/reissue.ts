/** Fresh certificates inside the life of the login. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  ReissueRequest,
  ReissueResponse,
  DeepPartial,
} from '@gatehouse/proto/auth/v1/login_service';

import type { Context, Deps } from '../deps.js';
import { requirePerson } from '../users/person.js';
import { reissue } from '../users/reissue.js';
import { decodeTtl, encodeIssued } from './messages.js';

export const callers: readonly CallerRule[] = ['user'];

export async function handle(
  deps: Deps,
  request: ReissueRequest,
  context: Context,
): Promise<DeepPartial<ReissueResponse>> {
  const person = await requirePerson(deps, context);
  const { sshPublicKey, tlsPublicKey, routeJson } = request;
  const certificates = await reissue(deps, person, {
    sshPublicKey,
    tlsPublicKey,
    routeJson,
    ttlMs: decodeTtl(request.ttl),
  });
  return { issued: await encodeIssued(deps, person.login, certificates) };
}
