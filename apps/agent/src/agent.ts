/**
 * The agent: sits by its targets, dials out, and connects to what its list names when a proxy's grant says so. It opens no
 * port. Joined once with a token; afterwards its data directory says who it is.
 */
import { dirname, resolve } from 'node:path';

import { systemClock, type Clock } from '@gatehouse/kit/clock';
import { parseConfig, readYamlFile, Secret } from '@gatehouse/kit/config';
import { runInBackground } from '@gatehouse/kit/lifecycle';
import { createLogger, type Logger } from '@gatehouse/kit/log';
import { readLock, type Lock } from '@gatehouse/policy';
import type { ServiceWelcome } from '@gatehouse/proto/tunnel/v1/control';
import type { AgentProtocol, AgentServices, TargetType } from '@gatehouse/protocol-api';
import { agentProtocols } from '@gatehouse/protocol-registry/agent';
import { targetTypes } from '@gatehouse/protocol-registry/targets';
import type { TunnelLimits } from '@gatehouse/tunnel';

import { agentConfigSchema, type AgentConfig, type AgentConfigInput } from './config.js';
import { lockDataDir } from './data-dir.js';
import { agentError } from './errors.js';
import { findEgress, type Egress } from './join/egress.js';
import { checkOwnCertificate, enrollAgent } from './join/enroll.js';
import { keepIdentity, type AgentIdentity } from './join/identity.js';
import { loadState, saveState, type AgentState } from './join/state.js';
import { serveDial, type DialDeps } from './targets/serve-dial.js';
import { createTargetCertificates } from './targets/target-certificates.js';
import { createTargetList, type TargetList } from './targets/target-list.js';
import { createUsedGrants } from './targets/used-grants.js';
import { keepTunnels, type Tunnels } from './tunnel/tunnels.js';

export { agentConfigSchema, type AgentConfig, type AgentConfigInput } from './config.js';

/** How an agent is started. */
export interface AgentOptions {
  /** `host:port` of the public port; needed to join, then kept in the data directory. */
  readonly proxy?: string;
  /** `sha256:…`, one or more; needed to join where no public authority vouches for the port. */
  readonly caPin?: string | readonly string[];
  /** One-use token; ignored once joined. */
  readonly token?: string;
  readonly dataDir: string;
  /** The content of `agent.yaml`, or its path. Default: the path of the first start, else nothing to reach. */
  readonly config?: AgentConfigInput | string;
  /** `HTTPS_PROXY` and `NO_PROXY`, where only an HTTP proxy leads out. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

/** What a caller may put in place of the real thing. */
export interface AgentDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly protocols: Readonly<Record<string, (services: AgentServices) => AgentProtocol>>;
  readonly targetTypes: Readonly<Record<string, TargetType>>;
  readonly limits: Partial<TunnelLimits>;
}

export interface Agent extends AsyncDisposable {
  /** agt_…. */
  readonly agentId: string;
  readonly name: string;
  /** Tunnel replicas to which a tunnel stands, srv_…. */
  replicas(): string[];
  /** Connections that are open now. */
  readonly connections: number;
}

/** How long a start waits for the first tunnel; it goes on trying after that. */
const firstTunnelMs = 10_000;

/**
 * Joins where it has not yet, then keeps its tunnels. Resolves when the first one stands, or after 10 s without.
 * @throws AGENT_TOKEN_MISSING, AGENT_CLUSTER_UNREACHABLE, AGENT_CA_PIN_MISMATCH, CONFIG_INVALID, AGENT_STATE_INVALID, AGENT_DATA_DIR_IN_USE,
 *   AGENT_CERTIFICATE_UNUSABLE, AGENT_EGRESS_INVALID, and what auth-service refuses a token with
 */
export async function createAgent(
  options: AgentOptions,
  overrides: Partial<AgentDeps> = {},
): Promise<Agent> {
  const deps: AgentDeps = {
    clock: systemClock,
    logger: overrides.logger ?? createLogger({ name: 'agent' }),
    protocols: agentProtocols,
    targetTypes,
    limits: {},
    ...overrides,
  };
  await using stack = new AsyncDisposableStack();
  stack.use(lockDataDir(options.dataDir));
  const stored = loadState(options.dataDir);
  const { config, configFile } = readConfig(options, stored);
  const targets = createTargetList({
    config,
    types: deps.targetTypes,
    configDir: configFile === undefined ? process.cwd() : dirname(configFile),
    logger: deps.logger,
  });
  const { dataDir, environment = {}, proxy = stored?.proxy ?? '' } = options;
  const egress = findEgress(proxy, environment);
  const state = await becomeMember({ options, stored, config, configFile, deps, egress });
  const identity = stack.use(keepIdentity(state, { dataDir, egress, ...deps }));
  const tunnels = stack.use(startTunnels({ config, deps, identity, targets, egress }));
  if (!(await tunnels.waitForFirst(firstTunnelMs))) deps.logger.warn('no tunnel yet; trying on');
  const resources = stack.move();
  return {
    agentId: state.agentId,
    name: state.name,
    replicas: () => tunnels.replicas(),
    get connections() {
      return tunnels.streamCount;
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

function readConfig(
  options: AgentOptions,
  stored: AgentState | undefined,
): { config: AgentConfig; configFile: string | undefined } {
  const given = options.config ?? stored?.configFile ?? {};
  if (typeof given !== 'string')
    return { config: parseConfig(agentConfigSchema, given), configFile: undefined };
  const configFile = resolve(given);
  const config = parseConfig(agentConfigSchema, readYamlFile(configFile), given);
  return { config, configFile };
}

interface Start {
  readonly options: AgentOptions;
  readonly stored: AgentState | undefined;
  readonly config: AgentConfig;
  readonly configFile: string | undefined;
  readonly deps: AgentDeps;
  readonly egress: Egress | undefined;
}

async function becomeMember(start: Start): Promise<AgentState> {
  const { options, stored, config, configFile, deps, egress } = start;
  const { proxy, token, caPin = [], dataDir } = options;
  if (stored !== undefined) {
    checkOwnCertificate(stored.certificate, { ...stored, clock: deps.clock });
    const state = {
      ...stored,
      proxy: proxy ?? stored.proxy,
      configFile: configFile ?? stored.configFile,
    };
    if (state.proxy !== stored.proxy || state.configFile !== stored.configFile)
      saveState(dataDir, state);
    return state;
  }
  if (proxy === undefined || token === undefined) throw agentError('AGENT_TOKEN_MISSING');
  const { name, group } = config;
  const caPins = typeof caPin === 'string' ? [caPin] : [...caPin];
  const secret = new Secret(token);
  const joined = await enrollAgent({
    proxy,
    caPins,
    token: secret,
    name,
    group,
    configFile,
    clock: deps.clock,
    egress,
  });
  saveState(dataDir, joined);
  deps.logger.info({ agentId: joined.agentId, cluster: joined.clusterName }, 'joined');
  return joined;
}

interface Parts {
  readonly config: AgentConfig;
  readonly deps: AgentDeps;
  readonly identity: AgentIdentity;
  readonly targets: TargetList;
  readonly egress: Egress | undefined;
}

function startTunnels(parts: Parts): Tunnels {
  const { config, deps, identity, targets, egress } = parts;
  const { clock, logger } = deps;
  const heard: { locks: readonly Lock[]; group: string } = { locks: [], group: '' };
  const certificates = createTargetCertificates({ identity, clock, logger, egress });
  const services: AgentServices = {
    logger,
    clock,
    targetAuthorities: () => identity.targetAuthorities(),
    hostCertificate: async (name) => certificates.host(name),
    databaseCertificate: async (name, user) => certificates.database(name, user),
    builtin: { sameUserAccepted: config.same_user === 'accepted' },
  };
  const { agentId, name } = identity.state;
  const dialDeps: DialDeps = {
    agentId,
    targets,
    usedGrants: createUsedGrants(),
    protocols: Object.fromEntries(
      Object.entries(deps.protocols).map(([protocol, create]) => [protocol, create(services)]),
    ),
    clock,
    logger,
    agentNames: () => [agentId, name, heard.group],
    hostAuthorities: () => identity.state.trust.hostTlsCa,
    locks: () => heard.locks,
  };
  const tunnels = keepTunnels({
    clock,
    logger,
    limits: deps.limits,
    egress,
    state: () => identity.state,
    hello: () => ({ version, targets: targets.describe(), dynamic: config.dynamic }),
    onDial(dial) {
      runInBackground(() => serveDial(dial, dialDeps), logger);
    },
    onWelcome(welcome) {
      heard.group = welcome.group;
      takeWelcome(welcome, parts, services);
    },
    onNews(news) {
      if (news.$case === 'trust') identity.hearOfTrust(news.value);
      else heard.locks = readLocks(news.value, logger);
    },
  });
  identity.onRenewed(() => {
    tunnels.replaceAll();
  });
  return tunnels;
}

const version = '0.1.0';

function takeWelcome(
  welcome: ServiceWelcome,
  { targets, deps }: Parts,
  services: AgentServices,
): void {
  const { logger } = deps;
  for (const { kind, name, reason } of welcome.refused)
    logger.warn({ kind, target: name, reason }, 'the cluster did not take a target');
  targets.setDynamic(welcome.dynamicTargets);
  // Ahead of need: the first person who comes should not wait for it.
  for (const { name, spec } of targets.all()) {
    if (typeof spec !== 'object' || spec === null || !('builtin' in spec) || spec.builtin !== true)
      continue;
    runInBackground(() => services.hostCertificate(name), logger, 'no host certificate yet');
  }
}

/** What is not understood locks more than it should, never less. */
function readLocks(documentsJson: readonly string[], logger: Logger): Lock[] {
  return documentsJson.map((text) => {
    const lock = readLock(parseJson(text), 'unknown');
    const { name, problem } = lock;
    if (problem !== undefined) logger.error({ lock: name, problem }, 'lock is not understood');
    return lock;
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
