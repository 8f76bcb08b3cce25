/**
 * The whole cluster in one process: the four services and one agent, built by their own `create…` functions with
 * configurations made from one data directory, talking gRPC over loopback. Composes; owns no feature.
 */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

import { createAgent } from '@gatehouse/agent';
import { createAuditService, auditConfigSchema } from '@gatehouse/audit-service';
import { authConfigSchema, createAuthService, type AuthService } from '@gatehouse/auth-service';
import { systemClock } from '@gatehouse/kit/clock';
import { parseConfig, readEnvironment } from '@gatehouse/kit/config';
import { createEmbeddedEventLog, type EventLog } from '@gatehouse/kit/event-log';
import { createLogger, type Logger } from '@gatehouse/kit/log';
import { createDatabase } from '@gatehouse/kit/postgres';
import { createProxyService, proxyConfigSchema, type ProxyService } from '@gatehouse/proxy-service';
import { createTunnelService, tunnelConfigSchema } from '@gatehouse/tunnel-service';

import type { StandaloneConfig } from './config.js';
import { openDataDirectory, type DataDirectory } from './data-directory.js';
import { startEmbeddedDatabase } from './database/embedded-database.js';
import { noteKnownCluster } from './known-clusters.js';
import { choosePort, dialAddress, formatAddress, publicAddressFor } from './port.js';
import type { Ready } from './ready.js';

export interface Cluster extends AsyncDisposable {
  readonly ready: Ready;
  /** `gate` takes it for the one that is meant, where nobody says which. */
  readonly isMeant: boolean;
  /** Why it can not go on and is to be stopped; unsettled as long as it can. */
  readonly failure: Promise<Error>;
}

export interface StartOptions {
  /** The clone. */
  readonly root: string;
  /** Told what begins, for a person who waits. */
  onStep(step: string): void;
}

const anyPort = '127.0.0.1:0';

/** @throws DATA_DIR_IN_USE, DATA_DIR_UNUSABLE, PORT_TAKEN, PORT_FORBIDDEN, ADDRESS_UNKNOWN, DATABASE_UNUSABLE */
export async function startCluster(
  config: StandaloneConfig,
  options: StartOptions,
): Promise<Cluster> {
  await using stack = new AsyncDisposableStack();
  const data = stack.use(openDataDirectory(config.data_dir));
  data.remove('ready.json');
  const port = await choosePort(config);
  const publicAddress = config.public_addr ?? publicAddressFor(config.listen, port);
  const logger = (name: string) =>
    createLogger({ name, level: config.log_level, format: config.log_format });
  const parts: Parts = { config, data, logger, port, publicAddress, stack };

  options.onStep('opening the database');
  const { socketPath, lost } = stack.use(
    await startEmbeddedDatabase(data.folder('database'), join(options.root, '.cache')),
  );
  const database = createDatabase<object>({ socketPath, applicationName: 'event-log' });
  stack.defer(async () => database.destroy());
  const eventLog = stack.use(
    await createEmbeddedEventLog({ database, clock: systemClock, logger: logger('event-log') }),
  );

  options.onStep('starting auth, audit, tunnel and proxy');
  const auth = await startAuth(parts, { socketPath, eventLog });
  const { proxy } = await startOthers(parts, { socketPath, eventLog, auth });
  if (config.agent) {
    options.onStep('starting the agent of this host');
    await startAgent(parts, auth);
  }
  return await finish(parts, { auth, proxy, failure: lost });
}

interface Parts {
  readonly config: StandaloneConfig;
  readonly data: DataDirectory;
  readonly logger: (name: string) => Logger;
  readonly port: number;
  readonly publicAddress: string;
  readonly stack: AsyncDisposableStack;
}

async function startAuth(
  parts: Parts,
  given: { socketPath: string; eventLog: EventLog },
): Promise<AuthService> {
  const { config, data, publicAddress, logger, stack } = parts;
  const authConfig = parseConfig(authConfigSchema, {
    cluster_name: config.cluster_name,
    listen: anyPort,
    public_listen: anyPort,
    metrics_listen: anyPort,
    public_addr: publicAddress,
    public_names: ['localhost'],
    database: { socket: given.socketPath },
    kek_file: config.kek_file ?? data.secretFile('kek'),
    join_secret_files: {
      proxy: data.secretFile('join-proxy'),
      tunnel: data.secretFile('join-tunnel'),
      audit: data.secretFile('join-audit'),
    },
    drain_timeout: '0s',
  });
  return stack.use(
    await createAuthService(authConfig, { logger: logger('auth'), eventLog: given.eventLog }),
  );
}

async function startOthers(
  parts: Parts,
  given: { socketPath: string; eventLog: EventLog; auth: AuthService },
) {
  const { config, data, publicAddress, logger, stack, port } = parts;
  const { auth, socketPath, eventLog } = given;
  const cluster = { cluster_name: config.cluster_name };
  const authConfig = (kind: string) => ({
    address: auth.address,
    join_secret_file: data.secretFile(`join-${kind}`),
  });
  const auditConfig = parseConfig(auditConfigSchema, {
    ...cluster,
    public_listen: anyPort,
    metrics_listen: anyPort,
    auth: authConfig('audit'),
    state_dir: data.folder('audit'),
    database: { socket: socketPath },
    recordings: { dir: data.folder('recordings') },
    drain_timeout: '0s',
  });
  const tunnelConfig = parseConfig(tunnelConfigSchema, {
    ...cluster,
    listen: anyPort,
    public_listen: anyPort,
    metrics_listen: anyPort,
    auth: authConfig('tunnel'),
    state_dir: data.folder('tunnel'),
    spool: { dir: data.folder('tunnel-spool') },
    drain_timeout: '2s',
  });
  const [audit, tunnel] = await Promise.all([
    createAuditService(auditConfig, { logger: logger('audit'), eventLog }),
    createTunnelService(tunnelConfig, { logger: logger('tunnel'), eventLog }),
  ]);
  stack.use(audit);
  stack.use(tunnel);
  const proxyConfig = parseConfig(proxyConfigSchema, {
    ...cluster,
    listen: formatAddress(config.listen, port),
    public_addr: publicAddress,
    metrics_listen: anyPort,
    auth: { ...authConfig('proxy'), public_address: auth.publicAddress },
    audit: { public_address: audit.publicAddress },
    tunnel: { addresses: [tunnel.address], public_addresses: [tunnel.publicAddress] },
    state_dir: data.folder('proxy'),
    spool: { dir: data.folder('proxy-spool') },
    drain_timeout: '0s',
  });
  return {
    proxy: stack.use(await createProxyService(proxyConfig, { logger: logger('proxy'), eventLog })),
  };
}

async function startAgent(parts: Parts, auth: AuthService): Promise<void> {
  const { config, data, logger, stack, port } = parts;
  const dataDir = data.folder('agent');
  const isNew = !existsSync(join(dataDir, 'agent.json'));
  const agent = await createAgent(
    {
      proxy: dialAddress(config.listen, port),
      caPin: auth.caPin,
      dataDir,
      ...(isNew ? { token: await auth.createAgentToken() } : {}),
      config: {
        name: config.node_name,
        targets: [
          { kind: 'node', name: config.node_name, labels: config.labels, spec: { builtin: true } },
        ],
        same_user: 'accepted',
      },
    },
    { logger: logger('agent') },
  );
  stack.use(agent);
}

async function finish(
  parts: Parts,
  given: { auth: AuthService; proxy: ProxyService; failure: Promise<Error> },
): Promise<Cluster> {
  const { auth, proxy, failure } = given;
  const { config, data, publicAddress, stack } = parts;
  const invite = await auth.createFirstAdminInvite({ logins: [config.login] });
  const ready: Ready = {
    version: 1,
    pid: process.pid,
    clusterName: config.cluster_name,
    proxyAddr: publicAddress,
    webUrl: `https://${publicAddress}`,
    caPin: auth.caPin,
    adminInviteUrl: invite?.inviteUrl ?? null,
    metricsUrl: proxy.metricsUrl,
    startedAt: new Date().toISOString(),
  };
  data.write('ready.json', `${JSON.stringify(ready, undefined, 2)}\n`);
  stack.defer(() => data.remove('ready.json'));
  const gateHome = readEnvironment()['GATE_HOME'] ?? join(homedir(), '.gatehouse');
  const isMeant = noteKnownCluster(gateHome, ready);
  const resources = stack.move();
  return { ready, isMeant, failure, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}
