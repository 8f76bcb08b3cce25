/** Every change of documents, locks, agents, login and session ends, in order. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type { WatchRequest, WatchResponse } from '@gatehouse/proto/auth/v1/cluster_service';

import type { Context, Deps } from '../deps.js';
import { requireService } from '../enrollment/require-service.js';
import { authError } from '../errors.js';
import { tunnelWatchKinds, watchCluster } from '../watch/watch.js';

export const callers: readonly CallerRule[] = ['service/proxy', 'service/tunnel', 'service/audit'];

export async function* handle(
  deps: Deps,
  request: WatchRequest,
  context: Context,
): AsyncGenerator<WatchResponse> {
  const { kinds, afterId } = request;
  await requireService(deps, context);
  if (context.caller.type === 'service' && context.caller.kind === 'tunnel') {
    const foreign = kinds.find((kind) => !tunnelWatchKinds.includes(kind));
    if (foreign !== undefined)
      throw authError('WATCH_INVALID', {
        details: { why: `"${foreign}" is not for tunnel services` },
      });
  }
  yield* watchCluster(deps, { afterId, kinds, signal: context.signal });
}
