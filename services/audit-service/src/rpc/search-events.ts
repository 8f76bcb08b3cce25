/** A page of events: newest first by time, or in stored order. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  SearchEventsRequest,
  SearchEventsResponse,
} from '@gatehouse/proto/audit/v1/audit_service';

import { requireViewer } from '../access/viewer.js';
import type { Context, Deps } from '../deps.js';
import { readFilter, type EventFilter } from '../events/filter.js';
import { findNewest, findStored, type StoredEvent } from '../store/events.js';
import { readLimit } from './limit.js';

export const callers: readonly CallerRule[] = ['user'];

/** A page holds about so many bytes, and at least one event: an answer has a bound too. */
const maxPageBytes = 3 * 1024 * 1024;

export async function handle(
  deps: Deps,
  request: SearchEventsRequest,
  context: Context,
): Promise<SearchEventsResponse> {
  const viewer = requireViewer(deps, context);
  const filter = readFilter(request.filter, viewer.ownerFor('event'));
  const limit = readLimit(request.limit);
  const scope = { user: viewer.name, list: [filter, request.ascending] };
  const place = deps.pageTokens.decode(scope, request.pageToken)?.map(Number);
  const found = await find(deps, {
    filter,
    limit: limit + 1,
    place,
    isAscending: request.ascending,
  });
  const page = cutPage(found.slice(0, limit));
  const last = page.at(-1);
  const hasMore = found.length > page.length && last !== undefined;
  return {
    eventsJson: page.map((event) => event.json),
    nextPageToken: hasMore ? deps.pageTokens.encode(scope, [last.timeMs, last.position]) : '',
  };
}

async function find(
  deps: Deps,
  query: { filter: EventFilter; limit: number; place: number[] | undefined; isAscending: boolean },
): Promise<StoredEvent[]> {
  const { filter, limit, isAscending } = query;
  const [timeMs = 0, position = 0] = query.place ?? [];
  if (isAscending) return findStored(deps.database, { filter, after: position, limit });
  return findNewest(deps.database, {
    filter,
    before: query.place === undefined ? undefined : { timeMs, position },
    limit,
  });
}

function cutPage(events: readonly StoredEvent[]): StoredEvent[] {
  const page: StoredEvent[] = [];
  let bytes = 0;
  for (const event of events) {
    bytes += Buffer.byteLength(event.json);
    if (page.length > 0 && bytes > maxPageBytes) break;
    page.push(event);
  }
  return page;
}
