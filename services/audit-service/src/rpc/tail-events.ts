/** Events as they are stored by any replica, from now on. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  TailEventsRequest,
  TailEventsResponse,
} from '@gatehouse/proto/audit/v1/audit_service';

import { requireViewer } from '../access/viewer.js';
import type { Context, Deps } from '../deps.js';
import { readFilter } from '../events/filter.js';
import { findStored, newestPosition } from '../store/events.js';

export const callers: readonly CallerRule[] = ['user'];

const signOfLifeMs = 10_000;
const batch = 200;

export async function* handle(
  deps: Deps,
  request: TailEventsRequest,
  context: Context,
): AsyncGenerator<TailEventsResponse> {
  let filter = readFilter(request.filter, requireViewer(deps, context).ownerFor('event'));
  let position = await newestPosition(deps.database);
  yield { eventJson: '' };
  while (!context.signal.aborted) {
    await deps.tailHub.changed(position, signOfLifeMs, context.signal);
    // Rights are looked at again each time: a lock, a logout or a lost role ends or narrows the tail.
    filter = { ...filter, owner: requireViewer(deps, context).ownerFor('event') };
    const upTo = deps.tailHub.newest();
    if (upTo <= position) yield { eventJson: '' };
    while (position < upTo && !context.signal.aborted) {
      const events = await findStored(deps.database, {
        filter,
        after: position,
        upTo,
        limit: batch,
      });
      for (const event of events) yield { eventJson: event.json };
      position = events.length < batch ? upTo : (events.at(-1)?.position ?? upTo);
    }
  }
}
