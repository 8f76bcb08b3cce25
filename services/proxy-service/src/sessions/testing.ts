/** A host with a policy out of documents, a protocol that writes down what it is asked, and a spool of its own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, type Duplex } from 'node:stream';

import type { Identity } from '@gatehouse/identity';
import { systemClock, type Clock } from '@gatehouse/kit/clock';
import type { GatehouseError } from '@gatehouse/kit/errors';
import { decodeAuditRecord, topics, type AuditEvent } from '@gatehouse/kit/event-log';
import { createId } from '@gatehouse/kit/ids';
import { createLogger, type Logger } from '@gatehouse/kit/log';
import { openSpool, type SpoolLimits } from '@gatehouse/kit/spool';
import { createMemoryEventLog, MemoryBroker } from '@gatehouse/kit/testing';
import type { AgentRecord, PolicyChange, PolicyView, TargetRecord } from '@gatehouse/membership';
import { findUnreadableLock, parseRole, type Lock, type RoleDocument } from '@gatehouse/policy';
import type {
  EndReason,
  Opening,
  ProxyProtocol,
  Session,
  SessionEnd,
} from '@gatehouse/protocol-api';

import type { Dialer } from '../dial/dialer.js';
import { createHost } from './host.js';
import { trackSessions, type LiveSessionsDeps } from './live-sessions.js';
import { createRefusalLog } from './refusal-log.js';

export const testLogger: Logger = createLogger({ name: 'test', level: 'silent' });

export const alice: Identity = {
  v: 1,
  user: 'alice',
  roles: ['dev'],
  traits: {},
  loginId: createId('lgn'),
};

/** A policy in which alice has the role `dev` with these options, and there is one target, `web-1`: a node or a database. */
export function createTestPolicy(
  options: NonNullable<RoleDocument['spec']['options']> = {},
  kind: 'node' | 'database' = 'node',
) {
  const listeners: ((change: PolicyChange) => void)[] = [];
  const locks: Lock[] = [];
  const agents: AgentRecord[] = [];
  const target: TargetRecord = {
    kind,
    name: 'web-1',
    labels: { env: 'staging' },
    protocol: 'test',
    spec: {},
    agent: 'web',
  };
  const roleWith = (settings: typeof options, statements: StatementLists = {}) =>
    parseRole({
      kind: 'role',
      version: 'v1',
      metadata: { name: 'dev' },
      spec: {
        options: settings,
        allow: {
          logins: ['root'],
          node_labels: { '*': '*' },
          db_users: ['root'],
          db_names: ['*'],
          db_labels: { '*': '*' },
          ...statements,
        },
      },
    });
  let role = roleWith(options);
  const view: PolicyView = {
    ready: Promise.resolve(),
    isReady: () => true,
    user: () => undefined,
    rolesOf: () => [role],
    refusalOf: () => undefined,
    locks: () => locks,
    hasUnreadableLock: () => findUnreadableLock(locks) !== undefined,
    target: (_kinds, name) => (name === target.name ? target : undefined),
    targets: () => [target],
    agent: (id) => agents.find((agent) => agent.id === id),
    agents: (group) => agents.filter((agent) => group === undefined || agent.group === group),
    isStale: () => false,
    clockSkewMs: () => 0,
    progress: () => ({ lastId: 0, snapshots: 1 }),
    onChange: (listener) => void listeners.push(listener),
    [Symbol.asyncDispose]: async () => {},
  };
  return {
    view,
    kind,
    locks,
    agents,
    /** Tells of a change as the Watch does. */
    change(change: PolicyChange) {
      for (const listener of listeners) listener(change);
    },
    setOptions(settings: typeof options) {
      role = roleWith(settings);
      this.change({ kind: 'role', name: 'dev' });
    },
    setStatements(statements: StatementLists) {
      role = roleWith(options, statements);
      this.change({ kind: 'role', name: 'dev' });
    },
  };
}

type StatementLists = Pick<
  NonNullable<RoleDocument['spec']['allow']>,
  'db_statements' | 'db_tables'
>;

type Serve = ProxyProtocol['serve'];

/** Sessions that stay until the host ends them, or are served by `serve`. */
function createTestProtocol({
  serve,
  patienceMs = 0,
  kind,
}: Pick<TestHostOptions, 'serve' | 'patienceMs'> & { readonly kind: TargetRecord['kind'] }) {
  const refused: GatehouseError[] = [];
  const sessions: Session[] = [];
  const ends: SessionEnd[] = [];
  const protocol: ProxyProtocol = {
    name: 'test',
    scope: 'connection',
    mode: 'inspected',
    alpn: 'test',
    patienceMs,
    open: async (): Promise<Opening> => ({
      identity: alice,
      target: 'web-1',
      principal: 'root',
      ...(kind === 'database' ? { database: 'app' } : {}),
      state: undefined,
    }),
    async serve(session, opening): Promise<EndReason> {
      if (serve !== undefined) return serve(session, opening);
      await session.dial();
      session.established();
      sessions.push(session);
      await new Promise((resolve) => {
        if (session.signal.aborted) resolve(undefined);
        session.signal.addEventListener('abort', resolve, { once: true });
      });
      ends.push(session.signal.reason as SessionEnd);
      return 'protocol';
    },
    refuse: async (_client, _opening, error) => void refused.push(error),
  };
  return { protocol, refused, sessions, ends };
}

export interface TestHostOptions {
  readonly clock?: Clock;
  readonly limits?: Partial<SpoolLimits>;
  readonly policy?: ReturnType<typeof createTestPolicy>;
  readonly auth: LiveSessionsDeps['auth'];
  readonly serve?: Serve;
  /** Of the protocol. */
  readonly patienceMs?: number;
}

/** All of it; `await using` cleans up. */
export async function createTestHost(options: TestHostOptions) {
  const { clock = systemClock, policy = createTestPolicy(), auth, limits = {} } = options;
  await using stack = new AsyncDisposableStack();
  const dir = mkdtempSync(join(tmpdir(), 'host-'));
  stack.defer(() => rmSync(dir, { recursive: true, force: true }));
  const broker = new MemoryBroker();
  const replicaId = createId('srv');
  const spool = stack.use(
    await openSpool({
      dir,
      eventLog: createMemoryEventLog(broker),
      clock,
      logger: testLogger,
      cluster: 'test',
      replicaId,
      limits,
      flushMs: 200,
    }),
  );
  const shared = { policy: policy.view, clock, logger: testLogger, replicaId };
  const live = stack.use(trackSessions({ ...shared, auth }));
  const { protocol, ...heard } = createTestProtocol({ ...options, kind: policy.kind });
  const dialer: Dialer = {
    dial: async () => Object.assign(new PassThrough(), { agentId: 'agt_1' }),
  };
  const host = createHost({
    ...shared,
    spool,
    dialer,
    live,
    refusals: stack.use(createRefusalLog({ clock, logger: testLogger, spool })),
    gateways: { add: () => undefined },
    kindsOf: () => ['node', 'database'],
    identityEndsAt: () => clock.now() + 12 * 3_600_000,
    openTimeoutMs: 10_000,
  });
  const resources = stack.move();
  return {
    dir,
    host,
    live,
    spool,
    broker,
    policy,
    ...heard,
    /** A connection of alice to web-1. */
    connect(): Duplex {
      const client = new PassThrough();
      host.accept({ protocol, client, clientAddress: '203.0.113.7:5000', transport: 'clear' });
      return client;
    },
    events: (): AuditEvent[] => broker.records(topics.audit).map(decodeAuditRecord),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}
