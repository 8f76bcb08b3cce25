/** Every rpc of audit-service. A handler file says who may call it; a missing one does not start. */
import { bindService, type BoundService } from '@gatehouse/kit/rpc';
import type { Caller } from '@gatehouse/membership';
import { AuditServiceDefinition } from '@gatehouse/proto/audit/v1/audit_service';

import type { Context, Deps } from '../deps.js';
import * as listDeadLetters from './list-dead-letters.js';
import * as listRecordings from './list-recordings.js';
import * as readRecording from './read-recording.js';
import * as replayDeadLetter from './replay-dead-letter.js';
import * as searchEvents from './search-events.js';
import * as tailEvents from './tail-events.js';

export function bindAuditService(deps: Deps): BoundService<Caller> {
  return bindService<Caller, typeof AuditServiceDefinition>(AuditServiceDefinition, {
    searchEvents: bind(deps, searchEvents),
    tailEvents: bind(deps, tailEvents),
    listRecordings: bind(deps, listRecordings),
    readRecording: bind(deps, readRecording),
    listDeadLetters: bind(deps, listDeadLetters),
    replayDeadLetter: bind(deps, replayDeadLetter),
  });
}

interface HandlerFile<Request, Result> {
  readonly callers: BoundService<Caller>['handlers'][string]['callers'];
  handle(deps: Deps, request: Request, context: Context): Result;
}

function bind<Request, Result>(deps: Deps, file: HandlerFile<Request, Result>) {
  return {
    callers: file.callers,
    handle: (request: Request, context: Context): Result => file.handle(deps, request, context),
  };
}
