/**
 * The SSH facet of the proxy (D19).
 *
 *   open    key exchange with a host certificate, user certificate verified; USERAUTH_SUCCESS is still to come
 *   serve   dial, log in upstream, then USERAUTH_SUCCESS and the relay (relay/relay.ts)
 *   refuse  a banner while the client still authenticates, and a DISCONNECT that says the same
 *
 * In clear SSH the user name says where to: `login@target`. Without a target the port is a jump host (gateway.ts), whose
 * channels come back through `open` as nested connections; `open` then returns `served` when that connection ends, long
 * after its deadline, which holds for authentication only.
 */
import type { Duplex } from 'node:stream';
import { isDeepStrictEqual } from 'node:util';

import type { Identity, SshUserProof } from '@gatehouse/identity';
import { GatehouseError, toGatehouseError } from '@gatehouse/kit/errors';
import {
  isSessionEnd,
  served,
  type EndReason,
  type Offer,
  type Opening,
  type ProxyProtocol,
  type ProxyServices,
  type Session,
  type SessionEnd,
} from '@gatehouse/protocol-api';

import { sshAlpn } from './cli.js';
import {
  bannerOf,
  describeError,
  disconnectReason,
  disconnectReasonOf,
  sshError,
} from './errors.js';
import { serveGateway, targetName } from './gateway.js';
import { keepAlive } from './relay/keepalive.js';
import { Relay } from './relay/relay.js';
import type { SshSpec } from './target.js';
import { clientFacing, offerForClient } from './transport/algorithms.js';
import { createHostKeys } from './transport/host-keys.js';
import { authenticateUser } from './transport/server-login.js';
import { SshTransport } from './transport/transport.js';
import { connectUpstream } from './upstream.js';
import { encodeMessage } from './wire/codec.js';
import { messageType } from './wire/message-types.js';

/** How long a refusal may take to reach the client, ms. */
const farewellMs = 900;

/** What `open` keeps for `serve` and `refuse`. */
export interface SshState {
  readonly transport: SshTransport;
  readonly proof: SshUserProof;
}

export function createProxy(services: ProxyServices): ProxyProtocol<SshSpec, SshState> {
  const transports = new WeakMap<Duplex, SshTransport>();
  return {
    name: 'ssh',
    scope: 'connection',
    mode: 'inspected',
    alpn: sshAlpn,
    clearGreeting: 'SSH-2.0-',
    open: (client, offer) => openConnection(services, { client, offer, transports }),
    serve: (session, opening) => serveSession(services, session, opening),
    refuse: async (client, opening, error) => {
      const known = opening?.state.transport ?? transports.get(client);
      await refuseConnection(known ?? createSilentTransport(client), error);
    },
  };
}

interface Incoming {
  readonly client: Duplex;
  readonly offer: Offer;
  readonly transports: WeakMap<Duplex, SshTransport>;
}

async function openConnection(
  services: ProxyServices,
  incoming: Incoming,
): Promise<Opening<SshState> | typeof served> {
  const { client, offer } = incoming;
  const host = await services.credentials.hostCertificate(offer.route?.target);
  const transport = new SshTransport({
    socket: client,
    offer: clientFacing,
    offerFor: offerForClient,
    hostKeys: createHostKeys(host),
  });
  incoming.transports.set(client, transport);
  const login = await authenticateUser({
    transport,
    signal: offer.signal,
    verifyCertificate: (blob) =>
      services.credentials.verifySshUserCertificate(blob, offer.clientAddress),
  });
  if (login === undefined) return served;
  const { identity } = login.verified;
  if (offer.identity !== undefined && !isSameIdentity(offer.identity, identity)) {
    throw sshError('SSH_IDENTITY_DIFFERS', { reason: 'identity' });
  }
  const destination = readDestination(services, offer, login.userName);
  if (destination === undefined) {
    acceptUser(transport);
    const { clock, clusterName, logger } = services;
    await serveGateway({ transport, offer, identity, clock, clusterName, logger });
    return served;
  }
  return { identity, ...destination, state: { transport, proof: login.proof } };
}

/** The same person by the same login with the same rights; a routed certificate differs in its route alone. */
function isSameIdentity(outer: Identity, inner: Identity): boolean {
  return isDeepStrictEqual({ ...outer, route: undefined }, { ...inner, route: undefined });
}

/** Undefined: the port itself, as a jump host. */
function readDestination(
  services: ProxyServices,
  offer: Offer,
  userName: string,
): { target: string; principal: string } | undefined {
  if (offer.route !== undefined) {
    const { target, login: expected } = offer.route;
    if (expected === undefined || expected === userName) return { target, principal: userName };
    throw sshError('SSH_LOGIN_DIFFERS', {
      details: { login: userName, expected },
      reason: 'login_differs',
    });
  }
  const at = userName.lastIndexOf('@');
  if (at === -1) return undefined;
  const principal = userName.slice(0, at);
  const target = targetName(userName.slice(at + 1), services.clusterName);
  if (principal === '' || target === '') throw sshError('SSH_USER_NAME', { reason: 'protocol' });
  return { target, principal };
}

function acceptUser(transport: SshTransport): void {
  transport.send(encodeMessage(messageType.userauthSuccess));
  transport.setAuthenticated();
}

async function serveSession(
  services: ProxyServices,
  session: Session<SshSpec>,
  opening: Opening<SshState>,
): Promise<EndReason> {
  const { transport: user, proof } = opening.state;
  let upstream;
  try {
    upstream = await connectUpstream(services, session, proof);
  } catch (thrown) {
    const end = sessionEnd(session.signal);
    const error = toGatehouseError(thrown);
    if (end === undefined) await refuseConnection(user, error);
    else await farewell(user, disconnectReason.byApplication, end.message);
    if (end !== undefined) return end.reason;
    throw error;
  }
  const node = upstream.transport;
  const relay = new Relay({ session, user, node, clock: services.clock });
  for (const text of upstream.banners)
    user.send(encodeMessage(messageType.userauthBanner, text, ''));
  session.established({ isLegacy: upstream.isLegacy });
  acceptUser(user);
  const reason = await runRelay(relay, session);
  await Promise.race([user.closed, delay(farewellMs)]);
  // The client may have left at the word of an end that was the host's.
  return sessionEnd(session.signal)?.reason ?? reason;
}

async function runRelay(relay: Relay, session: Session<SshSpec>): Promise<EndReason> {
  const { user, node } = relay;
  try {
    relay.start();
    keepAlive(user, relay.nodeRequests);
    keepAlive(node, relay.userRequests);
    return await waitForEnd(session, user, node);
  } finally {
    await relay.finish();
  }
}

async function waitForEnd(
  session: Session<SshSpec>,
  user: SshTransport,
  node: SshTransport,
): Promise<EndReason> {
  const first = await Promise.race([
    user.ended.then(() => 'user' as const),
    node.ended.then(() => 'node' as const),
    aborted(session.signal).then(() => 'host' as const),
  ]);
  const end = sessionEnd(session.signal);
  if (end !== undefined) {
    user.disconnect(disconnectReason.byApplication, end.message);
    node.disconnect(disconnectReason.byApplication, 'the session was ended');
    return end.reason;
  }
  if (first === 'user') {
    node.disconnect(disconnectReason.byApplication, 'the client left');
    return user.endedWith?.by === 'us' ? 'protocol' : 'client_left';
  }
  user.disconnect(disconnectReason.connectionLost, targetClosedText(session, node));
  const cause = node.endedWith?.error;
  return cause instanceof GatehouseError && cause.reason !== undefined
    ? cause.reason
    : 'target_closed';
}

function targetClosedText(session: Session<SshSpec>, node: SshTransport): string {
  const text = node.endedWith?.text;
  const why = text === undefined || text === '' ? '' : `: ${text.slice(0, 300)}`;
  return `${session.target.name} closed the connection${why}`;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** Why the host ended the session; undefined while it has not. */
function sessionEnd(signal: AbortSignal): SessionEnd | undefined {
  if (!signal.aborted) return undefined;
  const reason: unknown = signal.reason;
  return isSessionEnd(reason) ? reason : { reason: 'ended_by', message: 'the session was ended' };
}

/** A transport that shows no host key: enough to say no, which needs no key exchange (RFC 4253 §11.1). */
function createSilentTransport(client: Duplex): SshTransport {
  return new SshTransport({ socket: client, offer: clientFacing, hostKeys: {} });
}

async function refuseConnection(transport: SshTransport, error: GatehouseError): Promise<void> {
  if (transport.endedWith === undefined && transport.isAwaitingAuthentication) {
    transport.send(encodeMessage(messageType.userauthBanner, bannerOf(error), ''));
  }
  await farewell(transport, disconnectReasonOf(error), describeError(error));
}

async function farewell(transport: SshTransport, reason: number, text: string): Promise<void> {
  transport.disconnect(reason, text);
  await Promise.race([transport.closed, delay(farewellMs)]);
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}
