import type { GatehouseError } from '@gatehouse/kit/errors';
/** `connection.refused` of auth-service's own listeners: whoever shows a certificate and is turned away (CRT-08, CRT-04). */
import type { AuditActor } from '@gatehouse/kit/event-log';
import { runInBackground } from '@gatehouse/kit/lifecycle';
import type { RpcRefusal } from '@gatehouse/kit/rpc';
import type { Caller } from '@gatehouse/membership';

import type { Deps } from '../deps.js';
import { recordDrafts } from './record-drafts.js';

/** For `onRefused` of an rpc server. Those without any certificate are not worth an event. */
export function createRefusalRecorder(deps: Deps): (refusal: RpcRefusal<Caller>) => void {
  return ({ caller, clientAddress, error, method }) => {
    if (caller?.type === 'anonymous') return;
    const actor = actorOf(caller, clientAddress);
    const record = async () => recordRefusal(deps, { actor, error, method });
    runInBackground(record, deps.logger, 'refusal was not recorded');
  };
}

/** Writes the event; floods are counted. */
export async function recordRefusal(
  deps: Deps,
  refusal: { readonly actor: AuditActor; readonly error: GatehouseError; readonly method?: string },
): Promise<void> {
  const { actor, error, method } = refusal;
  const data = {
    message: error.publicMessage,
    errorId: error.id,
    ...(method === undefined ? {} : { protocol: 'api' }),
  };
  const reason = error.reason ?? error.kind;
  await recordDrafts(deps, [
    { type: 'connection.refused', actor, outcome: 'denied', reason, data },
  ]);
}

function actorOf(caller: Caller | undefined, address: string): AuditActor {
  if (caller === undefined || caller.type === 'anonymous')
    return { kind: 'unknown', name: '', address };
  if (caller.type === 'user') {
    return { kind: 'user', name: caller.name, loginId: caller.identity.loginId, address };
  }
  return { kind: caller.type, name: caller.id, address };
}
