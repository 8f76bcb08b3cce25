/** Puts a record that could not be stored back on its topic. That somebody did is audited first. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  ReplayDeadLetterRequest,
  ReplayDeadLetterResponse,
} from '@gatehouse/proto/audit/v1/audit_service';

import { requireViewer } from '../access/viewer.js';
import { replayDeadLetter } from '../dead-letters.js';
import type { Context, Deps } from '../deps.js';
import { deadLetterReplayed } from '../events.js';
import { writeEvent } from '../events/write-event.js';

export const callers: readonly CallerRule[] = ['user'];

const maxIdChars = 256;

export async function handle(
  deps: Deps,
  request: ReplayDeadLetterRequest,
  context: Context,
): Promise<ReplayDeadLetterResponse> {
  const viewer = requireViewer(deps, context);
  viewer.require('update', 'put dead letters back');
  const id = request.id.slice(0, maxIdChars).toWellFormed().replaceAll('\0', '\ufffd');
  const { actor } = viewer;
  const audit = async () =>
    writeEvent(
      deps,
      deadLetterReplayed({ cluster: deps.clusterName, nowMs: deps.clock.now(), actor, id }),
    );
  await replayDeadLetter(deps, id, { actor, audit });
  return {};
}
