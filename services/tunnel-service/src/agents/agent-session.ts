/**
 * The life of one agent's tunnel: handshake → hello → registration → welcome, trust and locks → news, until it ends.
 */
import type { Clock } from '@gatehouse/kit/clock';
import { toGatehouseError } from '@gatehouse/kit/errors';
import { runInBackground, withDeadline } from '@gatehouse/kit/lifecycle';
import type { Logger } from '@gatehouse/kit/log';
import type { Lock } from '@gatehouse/policy';
import type { RegisterAgentResponse } from '@gatehouse/proto/auth/v1/cluster_service';
import type { TrustBundle } from '@gatehouse/proto/auth/v1/trust';
import type { AgentHello, AgentMessage } from '@gatehouse/proto/tunnel/v1/control';
import {
  acceptTunnel,
  dialError,
  tunnelError,
  type AcceptedTunnel,
  type TunnelLimits,
} from '@gatehouse/tunnel';

import type { Refusal } from '../events.js';
import type { LiveTunnel, LiveTunnels } from './live-tunnels.js';
import { encodeLocks, findAgentLock } from './news.js';
import type { AgentArrival } from './public-port.js';
import type { Registrar } from './registrar.js';
import type { ReplicaPlaces } from './replica-places.js';

export interface AgentSessionDeps {
  readonly replicaId: string;
  readonly live: LiveTunnels;
  readonly registrar: Registrar;
  readonly places: ReplicaPlaces;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly limits: Partial<TunnelLimits>;
  readonly helloTimeoutMs: number;
  locks(): readonly Lock[];
  trust(): TrustBundle;
  onRefused(refusal: Refusal): void;
}

/** Serves a tunnel to its end. Never rejects. */
export async function serveAgent(arrival: AgentArrival, deps: AgentSessionDeps): Promise<void> {
  const { agentId, socket, clientAddress } = arrival;
  const logger = deps.logger.child({ agentId, clientAddress });
  const refused = refuseLocked({ agentId, name: agentId, group: agentId }, arrival, deps);
  if (refused) {
    socket.destroy();
    return;
  }
  try {
    const tunnel = await acceptTunnel(socket, deps.limits);
    await serveTunnel(tunnel, arrival, { ...deps, logger });
  } catch (thrown) {
    logger.debug({ err: thrown }, 'tunnel did not come about');
  }
}

function refuseLocked(
  agent: { agentId: string; name: string; group: string },
  arrival: AgentArrival,
  deps: AgentSessionDeps,
): boolean {
  const lock = findAgentLock(deps.locks(), agent, deps.clock);
  if (lock === undefined) return false;
  const { clientAddress: address, viaProxy } = arrival;
  deps.onRefused({
    reason: 'locked',
    why: lock.message,
    agentId: agent.agentId,
    address,
    viaProxy,
  });
  return true;
}

async function serveTunnel(
  tunnel: AcceptedTunnel,
  arrival: AgentArrival,
  deps: AgentSessionDeps,
): Promise<void> {
  const { live: tunnels, logger } = deps;
  const ended = new AbortController();
  const messages = tunnel.control.messages();
  const connectedAt = new Date(deps.clock.now());
  try {
    const hello = await readHello(messages, deps.helloTimeoutMs);
    const { agentId, viaProxy, expiresAtMs } = arrival;
    if (viaProxy !== '' && viaProxy === hello.avoidProxy) {
      tunnel.control.send({ message: { $case: 'sameProxy', value: {} } });
      // The agent closes; a tunnel that it does not want costs no registration.
      await withDeadline(tunnel.closed, deps.helloTimeoutMs, () => dialError('timed_out'));
      return;
    }
    const names = { group: agentId, name: agentId };
    const { nonce, dynamic } = hello;
    let isRegistering = false;
    const refresh = () => {
      if (isRegistering) return;
      isRegistering = true;
      const registration = { arrival, connectedAt, deps, signal: ended.signal };
      runInBackground(async () => {
        await register(live, hello, registration);
        isRegistering = false;
      }, logger);
    };
    const fixed = { agentId, viaProxy, expiresAtMs, nonce, dynamic, refresh };
    const live: LiveTunnel = { ...fixed, tunnel, ...names };
    tunnels.add(live);
    tunnel.closed.then(
      (end) => {
        ended.abort();
        tunnels.remove(live);
        logger.info({ reason: end.reason, err: end.error }, 'tunnel ended');
      },
      () => undefined,
    );
    live.refresh();
    // Nothing more is said today; what comes is read so that the stream goes on.
    for await (const message of messages) logger.debug({ kind: message.message?.$case }, 'ignored');
  } finally {
    tunnel.close();
  }
}

async function readHello(
  messages: AsyncGenerator<AgentMessage, void, undefined>,
  timeoutMs: number,
): Promise<AgentHello> {
  const late = () => tunnelError('TUNNEL_HANDSHAKE', { details: { why: 'no hello in time' } });
  const first = await withDeadline(messages.next(), timeoutMs, late);
  if (first.done === true || first.value.message?.$case !== 'hello') throw late();
  return first.value.message.value;
}

interface Registration {
  readonly arrival: AgentArrival;
  readonly connectedAt: Date;
  readonly deps: AgentSessionDeps;
  readonly signal: AbortSignal;
}

async function register(
  live: LiveTunnel,
  hello: AgentHello,
  { arrival, connectedAt, deps, signal }: Registration,
): Promise<void> {
  const request = {
    agentId: live.agentId,
    replicaId: deps.replicaId,
    certificateFingerprint: Buffer.from(arrival.fingerprint, 'hex'),
    targets: hello.targets,
    dynamic: hello.dynamic,
    version: hello.version,
    clientAddress: arrival.clientAddress,
    connectedAt,
  };
  const onKnown = (answer: RegisterAgentResponse) => {
    live.group = answer.group;
    live.name = answer.agentName;
    if (refuseLocked(live, arrival, deps)) {
      live.tunnel.close();
      return;
    }
    const level = deps.live.isShown(live) ? 'debug' : 'info';
    deps.logger[level]({ agent: live.name, viaProxy: live.viaProxy }, 'tunnel stands');
    welcome(live, answer, deps);
    deps.live.show(live);
  };
  try {
    await deps.registrar.register(request, onKnown, signal);
  } catch (thrown) {
    const { message: why, reason = 'not_yours' } = toGatehouseError(thrown);
    const { clientAddress: address, viaProxy } = arrival;
    deps.onRefused({ reason, why, agentId: live.agentId, address, viaProxy });
    live.tunnel.close();
  }
}

function welcome(live: LiveTunnel, answer: RegisterAgentResponse, deps: AgentSessionDeps): void {
  const { control } = live.tunnel;
  const { refused, dynamicTargets, group } = answer;
  const { replicaId, places } = deps;
  const { viaProxy, agentId } = live;
  const replicas = places.of(agentId);
  control.send({ message: { $case: 'trust', value: deps.trust() } });
  for (const message of encodeLocks(deps.locks())) control.send(message);
  control.send({
    message: {
      $case: 'welcome',
      value: { replicaId, refused, dynamicTargets, replicas, group, viaProxy },
    },
  });
}
