/** What the parts of audit-service work with: one plain object, made in service.ts; functions take the fields they use. */
import type { Clock } from '@gatehouse/kit/clock';
import type { EventLog } from '@gatehouse/kit/event-log';
import type { Logger } from '@gatehouse/kit/log';
import type { Coordination } from '@gatehouse/kit/postgres';
import type { RpcContext } from '@gatehouse/kit/rpc';
import type { Caller, PolicyView, ReadinessParts } from '@gatehouse/membership';

import type { Days } from './events/days.js';
import type { PageTokens } from './events/page-token.js';
import type { TailHub } from './events/tail-hub.js';
import type { AuditMetrics } from './metrics.js';
import type { Manifests } from './recordings/manifest.js';
import type { ObjectStore } from './recordings/object-store.js';
import type { Db, Tables } from './store/tables.js';

/** What rights are read from. */
export type Policy = Pick<PolicyView, 'user' | 'rolesOf' | 'refusalOf' | 'locks'> &
  ReadinessParts['policy'];

export interface Deps {
  readonly clusterName: string;
  /** This start of audit-service, srv_…. */
  readonly replicaId: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly eventLog: EventLog;
  readonly database: Db;
  readonly coordination: Coordination<Tables>;
  readonly objects: ObjectStore;
  readonly manifests: Manifests;
  readonly days: Days;
  /** Types of events that are stored. */
  readonly eventTypes: ReadonlySet<string>;
  readonly policy: Policy;
  readonly tailHub: TailHub;
  readonly pageTokens: PageTokens;
  readonly metrics: AuditMetrics;
}

/** What a handler knows of its call. */
export type Context = RpcContext<Caller>;
