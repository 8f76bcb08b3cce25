/**
 * The PostgreSQL facet alone, as a process of its own: TLS on both sides, the phases of the host in their shortest form, the
 * agent's login in the same process, a real spool. No tunnel, no agent, no event log behind the spool.
 *   relay-process.ts SETTINGS    {dir, keyFile, certificateFile, spec} as JSON; says its port on stdout, ends with stdin
 */
import { readFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { createSecureContext, TLSSocket } from 'node:tls';

import type { Identity } from '@gatehouse/identity';
import { systemClock } from '@gatehouse/kit/clock';
import { toGatehouseError } from '@gatehouse/kit/errors';
import type { EventLog } from '@gatehouse/kit/event-log';
import { createId } from '@gatehouse/kit/ids';
import { tuneGarbageCollection } from '@gatehouse/kit/lifecycle';
import { createLogger } from '@gatehouse/kit/log';
import { openSpool, type SessionJournal } from '@gatehouse/kit/spool';
import { defaultRoleOptions } from '@gatehouse/policy';
import {
  served,
  type Offer,
  type Opening,
  type ProxyCredentials,
  type Recorder,
  type Session,
} from '@gatehouse/protocol-api';
import { createAgent } from '@gatehouse/protocol-postgres/agent';
import { createProxy } from '@gatehouse/protocol-postgres/proxy';
import { postgresSpec } from '@gatehouse/protocol-postgres/target';
import { createRecordingWriter } from '@gatehouse/recording';

import { createProxyServices } from '../proxy-services.js';

tuneGarbageCollection();
const settings = JSON.parse(process.argv[2] ?? '') as {
  readonly dir: string;
  readonly keyFile: string;
  readonly certificateFile: string;
  readonly spec: unknown;
};
const logger = createLogger({ name: 'relay', level: 'silent' });
const spec = postgresSpec.parse(settings.spec);
const secureContext = createSecureContext({
  key: readFileSync(settings.keyFile),
  cert: readFileSync(settings.certificateFile),
});
const identity: Identity = { v: 1, user: 'olga', roles: ['bench'], traits: {}, loginId: 'lgn_1' };
const actor = { kind: 'user', name: 'olga', roles: ['bench'], loginId: 'lgn_1' };
const target = { kind: 'database', name: 'pg-1', labels: { env: 'staging' }, agent: 'pg' } as const;

const takesAll: EventLog = {
  publish: async () => undefined,
  subscribe: async () => notAsked(),
  progress: async () => [],
  async [Symbol.asyncDispose]() {},
};
const spool = await openSpool({
  dir: settings.dir,
  eventLog: takesAll,
  clock: systemClock,
  logger,
  cluster: 'bench',
  replicaId: 'srv_1',
});
const credentials: ProxyCredentials = {
  verifySshUserCertificate: async () => notAsked(),
  hostCertificate: async () => notAsked(),
  targetCertificate: async () => notAsked(),
  hostAuthorities: () => [],
};
const proxy = createProxy(createProxyServices(credentials));
const agent = createAgent({
  logger,
  clock: systemClock,
  targetAuthorities: () => [],
  hostCertificate: async () => notAsked(),
  databaseCertificate: async () => notAsked(),
  builtin: { sameUserAccepted: false },
});

async function serve(client: Socket): Promise<void> {
  const sessionId = createId('ses');
  const journal = spool.session({ sessionId, actor, target, protocol: 'postgres' });
  let opening: Awaited<ReturnType<typeof proxy.open>> | undefined;
  try {
    opening = await proxy.open(client, createOffer(client, sessionId));
    if (opening === served) return;
    const session = createSession(sessionId, { opening, journal });
    journal.end(await proxy.serve(session, opening));
  } catch (thrown) {
    await proxy.refuse(client, opening === served ? undefined : opening, toGatehouseError(thrown));
  } finally {
    journal.close();
    client.destroy();
  }
}

function createOffer(client: Socket, sessionId: Offer['sessionId']): Offer {
  return {
    sessionId,
    clientAddress: `127.0.0.1:${client.remotePort}`,
    transport: 'clear',
    route: { target: target.name },
    signal: AbortSignal.timeout(30_000),
    identify: () => identity,
    startTls: async () => {
      const secured = new TLSSocket(client, { isServer: true, secureContext });
      secured.on('error', () => secured.destroy());
      await new Promise((resolve) => secured.once('secure', resolve));
      return secured;
    },
    accept: (nested) => nested.destroy(),
    serving: () => undefined,
    report: () => undefined,
  };
}

function createSession(
  id: Session['id'],
  { opening, journal }: { readonly opening: Opening; readonly journal: SessionJournal },
): Session<typeof spec> {
  const { principal } = opening;
  let count = 0;
  return {
    id,
    identity,
    principal,
    target: { ...target, protocol: 'postgres', spec },
    options: defaultRoleOptions,
    statements: { allow: [{ role: 'bench', statements: undefined, tables: undefined }], deny: [] },
    clientAddress: '127.0.0.1',
    logger,
    signal: new AbortController().signal,
    cut: new AbortController().signal,
    dial: async (details = {}) => {
      const signal = AbortSignal.timeout(20_000);
      const dial = { sessionId: id, target: target.name, spec, principal, user: 'olga', details };
      return agent.connect({ ...dial, signal });
    },
    established: () => undefined,
    pace: () => undefined,
    acknowledged: async () => undefined,
    decide: () => ({ allowed: true }),
    perform: async () => notAsked(),
    announce(intent) {
      count += 1;
      const word = `${intent.type}#${count}`;
      journal.append({ ...intent, opens: word, published: false });
      return {
        acknowledged: undefined,
        finish: (event) => journal.append({ ...event, closes: word }),
        abandon: () => journal.append({ ...intent, closes: word, published: false }),
      };
    },
    emit: (event) => journal.append(event),
    droppedEvents: 0,
    record: (channel) => record(channel, journal),
    activity: () => undefined,
  };
}

function record(header: { columns: number; rows: number }, journal: SessionJournal): Recorder {
  const recordingId = createId('rec');
  return createRecordingWriter({
    recordingId,
    clock: systemClock,
    header,
    sink: (chunk) => journal.chunk(recordingId, chunk),
  });
}

function notAsked(): never {
  throw new Error('a database asks for it nowhere');
}

const server = createServer({ noDelay: true }, (client) => {
  client.on('error', () => client.destroy());
  serve(client).catch(() => client.destroy());
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
process.stdout.write(`${(server.address() as AddressInfo).port}\n`);
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
