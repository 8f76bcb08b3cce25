import type { ServiceKind } from '@gatehouse/identity';
import type { Clock } from '@gatehouse/kit/clock';
import type { FloodGate } from '@gatehouse/kit/event-log';
import type { Logger } from '@gatehouse/kit/log';
import type { RpcContext } from '@gatehouse/kit/rpc';
/** What the parts of auth-service work with: one plain object, made in service.ts; functions take the fields they use. */
import type { Caller } from '@gatehouse/membership';

import type { Authorities } from './authorities/authorities.js';
import type { AuthConfig } from './config.js';
import type { RoleCache } from './documents/role-cache.js';
import type { EventDraft } from './events.js';
import type { Keyring } from './sealing/keyring.js';
import type { AuditRow, Store } from './store/store.js';
import type { KeyedMutex } from './users/keyed-mutex.js';
import type { PasswordHasher } from './users/passwords.js';
import type { WatchHub } from './watch/hub.js';

export interface Deps {
  readonly config: AuthConfig;
  readonly clusterName: string;
  /** This start of auth-service, srv_…. */
  readonly replicaId: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly store: Store;
  readonly keyring: Keyring;
  readonly authorities: Authorities;
  readonly roles: RoleCache;
  readonly passwords: PasswordHasher;
  /** One login of a person at a time, so that parallel guesses are counted one by one. */
  readonly loginTurns: KeyedMutex;
  /** One registration of an agent at a time: each is written in several transactions. */
  readonly registrationTurns: KeyedMutex;
  readonly floodGate: FloodGate;
  readonly hub: WatchHub;
  /** Join secrets by kind. */
  readonly joinSecrets: Readonly<Record<Exclude<ServiceKind, 'auth'>, Buffer>>;
  event(draft: EventDraft, now: Date): AuditRow;
}

/** What a handler knows of its call. */
export type Context = RpcContext<Caller>;
