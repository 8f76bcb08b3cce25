/** The trusted keys of the cluster; nothing secret. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  GetTrustRequest,
  GetTrustResponse,
} from '@gatehouse/proto/auth/v1/administration_service';

import type { Context, Deps } from '../deps.js';

export const callers: readonly CallerRule[] = ['user', 'agent', 'service'];

export async function handle(
  deps: Deps,
  _request: GetTrustRequest,
  _context: Context,
): Promise<GetTrustResponse> {
  const { bundle, dbClientCa } = deps.authorities.trust();
  return { trust: bundle, dbClientCa: [...dbClientCa] };
}
