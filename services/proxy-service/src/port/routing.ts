/** Ties the port to what is behind it: TLS endpoints, the other services, the host of sessions, the web. */
import type { TLSSocket } from 'node:tls';

import {
  checkSourceAddress,
  derToPem,
  identityError,
  verifyPartCertificate,
  type Identity,
} from '@gatehouse/identity';
import type { Clock } from '@gatehouse/kit/clock';
import { toGatehouseError, type GatehouseError } from '@gatehouse/kit/errors';
import { runInBackground } from '@gatehouse/kit/lifecycle';
import type { Logger } from '@gatehouse/kit/log';
import { splitAddress } from '@gatehouse/kit/net';
import type { Membership } from '@gatehouse/membership';
import { hostError, type ProxyProtocol } from '@gatehouse/protocol-api';
import type { FastifyInstance } from 'fastify';

import type { ProxyConfig } from '../config.js';
import type { Credentials } from '../credentials/credentials.js';
import type { Host, SecuredClient } from '../sessions/host.js';
import type { ClientHello } from './client-hello.js';
import { passThrough } from './pass-through.js';
import type { Arrival, PortRoutes } from './port.js';
import { encodeAccepted, encodeRefused, readPreface } from './preface.js';
import { maxSniffBytes } from './sniff.js';
import { createTlsEndpoint, type TlsEndpoint } from './tls-endpoint.js';
import { createWebConnections } from './web-connections.js';

export interface RoutingDeps {
  readonly config: ProxyConfig;
  readonly membership: Membership;
  readonly credentials: Credentials;
  readonly protocols: readonly ProxyProtocol[];
  readonly host: Host;
  readonly web: FastifyInstance;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The public-side addresses of a tunnel replica, by its id, if it is reached; undefined: of any. */
  tunnelAddresses(replicaId: string | undefined): readonly string[];
}

export interface Routing {
  readonly routes: PortRoutes;
  /** Uses new certificates for new connections. */
  reload(): void;
}

const tunnelAlpn = 'gatehouse-tunnel';
const handshakeTimeoutMs = 10_000;
/** A fatal alert (RFC 8446 §6, RFC 6066 §3) in place of a handshake: the tunnel replica that was named is not there. */
const unrecognizedName = Buffer.of(21, 3, 3, 0, 2, 2, 112);

export function createRouting(deps: RoutingDeps): Routing {
  const endpoints = createEndpoints(deps);
  const passOn = createPassOn(deps);
  return {
    routes: {
      tls: (arrival, hello) => {
        if (!passOn.take(arrival, hello)) endpointFor(endpoints, deps, hello).take(arrival);
      },
      clear: (arrival, greeting) => routeClear(deps, endpoints, { arrival, greeting }),
      http: (arrival) => redirectToHttps(arrival, deps.config.public_addr),
      refused: (clientAddress, reason) => deps.host.connectionRefused({ clientAddress, reason }),
    },
    reload() {
      endpoints.sessions.reload();
      endpoints.own.reload();
      endpoints.browsers.reload();
    },
  };
}

interface Endpoints {
  /** `gatehouse-*`, with a client certificate. */
  readonly sessions: TlsEndpoint;
  /** A protocol's own TLS, with a client certificate: by its own ALPN name, or begun in clear. */
  readonly own: TlsEndpoint;
  readonly browsers: TlsEndpoint;
}

function ownAlpns(protocols: readonly ProxyProtocol[]): string[] {
  return protocols.map(({ ownAlpn }) => ownAlpn).filter((alpn) => alpn !== undefined);
}

function createEndpoints({ membership, protocols, web, ...deps }: RoutingDeps): Endpoints {
  const material = () => {
    const { key, certificate } = membership.tls();
    const { hostTlsCa, userTlsCa } = membership.trust();
    const toPem = (ders: Buffer[]) => ders.map((der) => derToPem(der, 'CERTIFICATE')).join('');
    // The CA goes along, so that a client with only its pin can check the chain.
    return { key, certificate: certificate + toPem(hostTlsCa), clientCa: toPem(userTlsCa) };
  };
  const { limits } = deps.config;
  const webConnections = createWebConnections({
    perAddress: limits.unauthenticated_per_address,
    total: limits.unauthenticated_total,
  });
  web.server.on('request', ({ socket }) => webConnections.asks(socket));
  return {
    sessions: createTlsEndpoint({
      protocols: [...new Set(protocols.map(({ alpn }) => alpn))],
      askForCertificate: true,
      handshakeTimeoutMs,
      material,
      onSecure: (socket, arrival) =>
        enterSession({ membership, protocols, web, ...deps }, socket, arrival),
    }),
    own: createTlsEndpoint({
      protocols: ownAlpns(protocols),
      askForCertificate: true,
      handshakeTimeoutMs,
      material,
      onSecure(socket, arrival) {
        const protocol = protocols.find(({ ownAlpn }) => ownAlpn === socket.alpnProtocol);
        if (protocol === undefined) socket.destroy();
        else
          deps.host.accept({
            ...hostArrival(arrival, protocol),
            ...secured({ membership, ...deps }, socket, arrival),
            transport: 'tls',
          });
      },
    }),
    browsers: createTlsEndpoint({
      protocols: ['http/1.1'],
      askForCertificate: false,
      handshakeTimeoutMs,
      material,
      onSecure(socket, arrival) {
        webConnections.add(socket, splitAddress(arrival.clientAddress).host);
        arrival.release();
        arrival.disregard();
        web.server.emit('connection', socket);
      },
    }),
  };
}

/** What is for other services: agents' tunnels, and what people and agents say to auth- and audit-service. */
function createPassOn(deps: RoutingDeps) {
  const { config, membership, logger } = deps;
  const inner = `.${config.cluster_name}.gatehouse.internal`;
  const rotate = createRotation();
  const addressesFor = (serverName: string): readonly string[] | undefined => {
    if (serverName === `auth${inner}`) return rotate(config.auth.public_address);
    return serverName === `audit${inner}` ? rotate(config.audit.public_address) : undefined;
  };
  return {
    /** False: it is for the proxy itself. */
    take(arrival: Arrival, { serverName = '', protocols }: ClientHello): boolean {
      const isTunnel = protocols.includes(tunnelAlpn);
      const addresses = isTunnel
        ? rotate(deps.tunnelAddresses(replicaOf(serverName, inner)))
        : addressesFor(serverName);
      if (addresses === undefined) return false;
      if (isTunnel && addresses.length === 0) {
        arrival.socket.end(unrecognizedName);
        setTimeout(() => arrival.socket.destroy(), 2_000).unref();
        return true;
      }
      // A session of another proxy may run through a tunnel.
      if (!isTunnel) arrival.disregard();
      passThrough(arrival, { addresses, proxyId: membership.replicaId, logger });
      return true;
    },
  };
}

/** The same list, each time from the next one on. */
function createRotation(): (addresses: readonly string[]) => readonly string[] {
  let turn = 0;
  return (addresses) => {
    turn += 1;
    const start = turn % Math.max(addresses.length, 1);
    return [...addresses.slice(start), ...addresses.slice(0, start)];
  };
}

function endpointFor(
  endpoints: Endpoints,
  deps: Pick<RoutingDeps, 'protocols'>,
  hello: ClientHello,
): TlsEndpoint {
  const names = new Set(hello.protocols);
  if (ownAlpns(deps.protocols).some((alpn) => names.has(alpn))) return endpoints.own;
  const isSession = hello.protocols.some((name) => name.startsWith('gatehouse-'));
  return isSession ? endpoints.sessions : endpoints.browsers;
}

function routeClear(
  deps: RoutingDeps,
  endpoints: Endpoints,
  { arrival, greeting }: { readonly arrival: Arrival; readonly greeting: string },
): void {
  const protocol = deps.protocols.find(({ clearGreeting }) => clearGreeting === greeting);
  if (protocol === undefined) arrival.socket.destroy();
  else
    deps.host.accept({
      ...hostArrival(arrival, protocol),
      startTls: async () => startTls(deps, endpoints, arrival),
      transport: 'clear',
    });
}

/** TLS on a connection that began in clear. @throws PROTOCOL_ERROR where the client ends it first or has no TLS */
async function startTls(
  deps: RoutingDeps,
  endpoints: Endpoints,
  arrival: Arrival,
): Promise<SecuredClient> {
  const { promise, resolve, reject } = Promise.withResolvers<SecuredClient>();
  const onClose = () => {
    const details = { why: 'no TLS handshake' };
    reject(hostError('PROTOCOL_ERROR', { reason: 'protocol', details }));
  };
  arrival.socket.once('close', onClose);
  endpoints.own.take(arrival, (socket) => resolve(secured(deps, socket, arrival)));
  return promise.finally(() => arrival.socket.off('close', onClose));
}

function secured(
  deps: Pick<RoutingDeps, 'membership' | 'clock' | 'credentials'>,
  client: TLSSocket,
  { clientAddress }: Arrival,
) {
  return { client, identify: () => identifyPerson(deps, client, clientAddress) };
}

function replicaOf(serverName: string, inner: string): string | undefined {
  const end = `.tunnel${inner}`;
  return serverName.endsWith(end) ? serverName.slice(0, -end.length) : undefined;
}

function hostArrival(arrival: Arrival, protocol: ProxyProtocol) {
  return {
    protocol,
    client: arrival.socket,
    clientAddress: arrival.clientAddress,
    onProven: arrival.release,
  };
}

/** Plain HTTP is sent on to https, to the same path where its first line tells one. */
function redirectToHttps(arrival: Arrival, publicAddress: string): void {
  const { socket } = arrival;
  let head = '';
  const answer = () => {
    clearTimeout(timer);
    socket.off('data', onData);
    const path = /^[A-Z]+ (\/[^\s]*) HTTP\/1\.[01]\r\n/.exec(head)?.[1] ?? '/';
    const safePath = /^\/(?!\/)[\w./~%?&=+-]*$/.test(path) ? path : '/';
    const location = `https://${publicAddress}${safePath}`;
    socket.end(
      `HTTP/1.1 308 Permanent Redirect\r\nLocation: ${location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
    );
    socket.resume();
    setTimeout(() => socket.destroy(), 2_000).unref();
  };
  const onData = (chunk: Buffer) => {
    head += chunk.toString('latin1');
    if (head.includes('\r\n') || head.length > maxSniffBytes.clear) answer();
  };
  const timer = setTimeout(answer, 5_000);
  socket.once('close', () => clearTimeout(timer));
  socket.on('data', onData);
  socket.resume();
}

/** A `gatehouse-*` connection: certificate, preface, then the protocol. */
function enterSession(deps: RoutingDeps, socket: TLSSocket, arrival: Arrival): void {
  runInBackground(
    async () => {
      const refuse = (error: GatehouseError) => {
        socket.end(encodeRefused(error));
        setTimeout(() => socket.destroy(), 2_000).unref();
      };
      try {
        await startSession(deps, socket, { arrival, refuse });
      } catch (thrown) {
        const error = toGatehouseError(thrown);
        deps.host.connectionRefused({
          clientAddress: arrival.clientAddress,
          reason: error.reason ?? 'protocol',
          error,
        });
        refuse(error);
      }
    },
    deps.logger,
    'session could not begin',
  );
}

async function startSession(
  deps: RoutingDeps,
  socket: TLSSocket,
  { arrival, refuse }: { arrival: Arrival; refuse: (error: GatehouseError) => void },
): Promise<void> {
  const protocol = deps.protocols.find(({ alpn }) => alpn === socket.alpnProtocol);
  if (protocol === undefined) {
    socket.destroy();
    return;
  }
  const preface = await readPreface(
    socket,
    AbortSignal.timeout(deps.config.limits.greeting_timeout),
  );
  const identity = identifyPerson(deps, socket, arrival.clientAddress);
  const target = preface.target.replace(
    new RegExp(`\\.${RegExp.escape(deps.config.cluster_name)}$`),
    '',
  );
  deps.host.accept({
    ...hostArrival(arrival, protocol),
    client: socket,
    transport: 'tls',
    identity,
    route: { target, ...(preface.login === undefined ? {} : { login: preface.login }) },
    onAdmitted: (sessionId) => socket.write(encodeAccepted(sessionId)),
    onRefused: refuse,
  });
}

/** The person in the client certificate. @throws CERTIFICATE_MISSING, and what verifyPartCertificate throws */
function identifyPerson(
  deps: Pick<RoutingDeps, 'membership' | 'clock' | 'credentials'>,
  socket: TLSSocket,
  clientAddress: string,
): Identity {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined)
    throw hostError('CERTIFICATE_MISSING', { reason: 'no_certificate' });
  const { userTlsCa, hostTlsCa } = deps.membership.trust();
  const issuer = certificate.issuerCertificate?.raw;
  const verified = verifyPartCertificate(certificate.raw, {
    userAuthorities: userTlsCa,
    hostAuthorities: hostTlsCa,
    nowMs: deps.clock.now(),
    usage: 'client',
    ...(issuer === undefined ? {} : { chain: [issuer] }),
  });
  if (verified.identity === undefined) {
    throw identityError('CERTIFICATE_REFUSED', {
      reason: 'wrong_kind',
      details: { why: "it is not a person's" },
    });
  }
  checkSourceAddress(verified.identity, clientAddress);
  deps.credentials.noteIdentity(verified.identity, verified.notAfterMs);
  return verified.identity;
}
