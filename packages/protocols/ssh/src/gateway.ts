/**
 * The port itself as a jump host (`ssh -J alice@port login@target`): every direct-tcpip channel is a connection of its
 * own to the target its host name says, and goes back to the host, which decides on it. The gateway dials nothing and
 * runs nothing.
 */
import type { Identity } from '@gatehouse/identity';
import type { Clock } from '@gatehouse/kit/clock';
import type { Logger } from '@gatehouse/kit/log';
import type { Offer } from '@gatehouse/protocol-api';

import type { ChannelStream } from './connection/channel-stream.js';
import {
  ConnectionEndpoint,
  type EndpointHandlers,
  type OpenRefusal,
} from './connection/endpoint.js';
import { createDenialLog, type DenialLog } from './denial-log.js';
import { openFailure } from './errors.js';
import type { SshTransport } from './transport/transport.js';
import { startsProgram, type ChannelOpen, type ChannelRequest } from './wire/connection.js';
import { escapeBytes } from './wire/escape.js';

export interface GatewayOptions {
  readonly transport: SshTransport;
  readonly offer: Offer;
  readonly identity: Identity;
  readonly clock: Clock;
  readonly clusterName: string;
  readonly logger: Logger;
}

/** What is known of one connection. */
interface Gateway extends GatewayOptions {
  readonly denials: DenialLog;
}

/** Serves a jump host's connection until it ends. */
export async function serveGateway(given: GatewayOptions): Promise<void> {
  const { clock, offer, identity } = given;
  using denials = createDenialLog(clock, (event) => offer.report(event, identity));
  const options: Gateway = { ...given, denials };
  const handlers: EndpointHandlers = {
    onOpen: (open) => Promise.resolve(openChannel(options, open)),
    onRequest: (stream, request, reply) => answerRequest(options, { stream, request }, reply),
    onGlobal: () => Promise.resolve(undefined),
  };
  offer.serving(identity);
  await new ConnectionEndpoint(options.transport, handlers).run();
}

function openChannel(
  options: Gateway,
  open: ChannelOpen,
): ((stream: ChannelStream) => void) | OpenRefusal {
  // Nothing runs here; what is sent to it is thrown away.
  if (open.type === 'session') return (stream) => void stream.resume();
  if (open.type !== 'direct-tcpip' || open.address === undefined || !('host' in open.address)) {
    note(options, { name: open.type, what: 'channel' });
    return { code: openFailure.administrativelyProhibited, text: 'this is a gateway: use -J' };
  }
  const target = targetName(open.address.host, options.clusterName);
  return (stream) => {
    options.offer.accept(stream, { identity: options.identity, target });
  };
}

/** `web-1` of `web-1` and of `web-1.<cluster>`. */
export function targetName(host: string, clusterName: string): string {
  const suffix = `.${clusterName}`;
  return host.endsWith(suffix) && host.length > suffix.length
    ? host.slice(0, -suffix.length)
    : host;
}

function answerRequest(
  options: Gateway,
  asked: { readonly stream: ChannelStream; readonly request: ChannelRequest },
  reply: (isGranted: boolean) => void,
): void {
  const { stream, request } = asked;
  if (!startsProgram(request.detail)) {
    reply(request.detail.kind === 'pty');
    return;
  }
  note(options, { name: request.name, what: 'request' });
  reply(true);
  endWithAdvice(stream);
}

function endWithAdvice(stream: ChannelStream): void {
  stream.stderr.write('this is a gateway: use -J\r\n', () => {
    stream.sendRequest('exit-status', 1);
    stream.end();
    stream.close();
  });
}

function note(options: Gateway, refused: { name: string; what: string }): void {
  const { denials, logger, identity } = options;
  const { name, what } = refused;
  const isWritten = denials.write({
    type: 'ssh.request_denied',
    outcome: 'denied',
    reason: 'gateway',
    data: { name: escapeBytes(Buffer.from(name)), what },
  });
  if (isWritten) logger.info({ userId: identity.user, name }, 'refused at the gateway');
}
