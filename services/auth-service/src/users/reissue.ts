/** Fresh certificates inside the life of a login (CRT-04), and its end (LOG-14). */
import type { Route } from '@gatehouse/identity';
import { loginTtlMs } from '@gatehouse/policy';
import { z } from 'zod';

import {
  issuePersonCertificates,
  type PersonCertificates,
} from '../certificates/person-certificates.js';
import type { Deps } from '../deps.js';
import { authError } from '../errors.js';
import { endLogin } from '../store/logins.js';
import { loginEndBody } from '../watch/watch.js';
import type { Person } from './person.js';

export interface ReissueRequest {
  readonly sshPublicKey: Buffer;
  readonly tlsPublicKey: Buffer;
  /** JSON, empty: none. */
  readonly routeJson: string;
  readonly ttlMs: number | undefined;
}

const routeSchema = z.strictObject({
  kind: z.string().min(1).max(64),
  name: z.string().min(1).max(256),
  user: z.string().max(256).optional(),
  database: z.string().max(256).optional(),
});

/**
 * Never longer than the login, nor than today's roles allow counted from the login's beginning. What bound the login
 * (MFA time, address, requests) binds the new certificates: all of it comes from the stored login. Traits are today's.
 * @throws ROUTE_INVALID, KEY_REFUSED, LOGIN_ENDED
 */
export async function reissue(
  deps: Deps,
  person: Person,
  request: ReissueRequest,
): Promise<PersonCertificates> {
  const { login } = person;
  const nowMs = deps.clock.now();
  const endsAtMs = Math.min(
    login.expiresAtMs,
    login.createdAtMs + loginTtlMs(person.roles),
    nowMs + (request.ttlMs ?? Infinity),
  );
  if (endsAtMs <= nowMs) throw authError('LOGIN_ENDED', { reason: 'expired' });
  const route = parseRoute(request.routeJson);
  const certificates = await issuePersonCertificates(deps, {
    login: { ...login, traits: person.traits },
    sshPublicKey: request.sshPublicKey,
    tlsPublicKey: request.tlsPublicKey,
    roles: person.roleNames,
    ...(route === undefined ? {} : { route }),
    validBeforeMs: endsAtMs,
  });
  await deps.store.record(async (scope) => {
    const expires = new Date(certificates.validBeforeMs).toISOString();
    const data = {
      kinds: ['user_ssh', 'user_tls'],
      expires,
      reissued: true,
      ...(route === undefined ? {} : { route }),
    };
    scope.audit(
      deps.event(
        { type: 'certificate.issued', actor: person.actor, outcome: 'success', data },
        scope.now,
      ),
    );
  });
  return certificates;
}

function parseRoute(json: string): Route | undefined {
  if (json === '') return undefined;
  try {
    const { kind, name, user, database } = routeSchema.parse(JSON.parse(json));
    return {
      kind,
      name,
      ...(user === undefined ? {} : { user }),
      ...(database === undefined ? {} : { database }),
    };
  } catch (thrown) {
    throw authError('ROUTE_INVALID', {
      cause: thrown,
      details: { why: '{kind, name, user?, database?}' },
    });
  }
}

/** Ends the caller's login: none of its certificates is taken any more, here at once, elsewhere within a second. */
export async function logOut(deps: Deps, person: Person): Promise<void> {
  await deps.store.change(async (scope) => {
    const { login } = person;
    if (!(await endLogin(scope.tx, login.id, { at: scope.now, reason: 'logout' }))) return;
    scope.publish({
      kind: 'login_end',
      name: login.id,
      body: loginEndBody({ reason: 'logout', until: new Date(login.expiresAtMs) }),
    });
    scope.audit(
      deps.event({ type: 'logout.done', actor: person.actor, outcome: 'success' }, scope.now),
    );
  });
}
