/** What the port says to browsers and to `gate` before a login: the cluster's public keys, and invitations. */
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';

import { caPin, derToPem } from '@gatehouse/identity';
import { toGatehouseError, type ErrorKind } from '@gatehouse/kit/errors';
import type { Logger } from '@gatehouse/kit/log';
import type { RpcConnection } from '@gatehouse/kit/rpc';
import { LoginServiceDefinition } from '@gatehouse/proto/auth/v1/login_service';
import type { TrustBundle } from '@gatehouse/proto/auth/v1/trust';
import fastify, { type FastifyInstance, type FastifyReply } from 'fastify';
import { toString as renderQrCode } from 'qrcode';
import { z } from 'zod';

export interface WebDeps {
  readonly auth: RpcConnection;
  readonly publicAddress: string;
  trust(): TrustBundle;
  readonly logger: Logger;
  /** Folder of the web files. */
  readonly webDir: string;
}

const statusOfKind: Readonly<Record<ErrorKind, number>> = {
  invalid_argument: 400,
  unauthenticated: 401,
  permission_denied: 403,
  not_found: 404,
  already_exists: 409,
  failed_precondition: 400,
  conflict: 409,
  resource_exhausted: 429,
  deadline_exceeded: 504,
  unavailable: 503,
  internal: 500,
};

const pages = {
  '/': ['index.html', 'text/html; charset=utf-8'],
  '/assets/gatehouse.css': ['gatehouse.css', 'text/css; charset=utf-8'],
  '/assets/invite.js': ['invite.js', 'text/javascript; charset=utf-8'],
} as const;

const token = z
  .string()
  .min(8)
  .max(128)
  .regex(/^[\w-]+$/);
const acceptBody = z.strictObject({
  token,
  user: z.string().max(64).default(''),
  password: z.string().max(1024),
});

const headers = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
  'strict-transport-security': 'max-age=31536000',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
};

/** The web instance for one HTTP version; connections are handed to `server.emit('connection')`. */
export async function createWeb(deps: WebDeps): Promise<FastifyInstance> {
  const web = fastify({
    logger: false,
    bodyLimit: 64 * 1024,
    requestTimeout: 10_000,
    connectionTimeout: 60_000,
    keepAliveTimeout: 30_000,
    clientErrorHandler: answerBrokenRequest,
    http: { maxHeaderSize: 16 * 1024, headersTimeout: 10_000, connectionsCheckingInterval: 1_000 },
  });
  web.addHook('onSend', async (_request, reply) => {
    reply.headers(headers);
  });
  web.setErrorHandler((thrown, _request, reply) => answerError(deps, thrown, reply));
  web.setNotFoundHandler((_request, reply) => sendPage(deps, reply.code(404), 'not-found.html'));
  for (const [path, [file, type]] of Object.entries(pages)) {
    web.get(path, (_request, reply) => reply.type(type).send(readWebFile(deps, file)));
  }
  web.get('/.well-known/gatehouse.json', () => describeCluster(deps.trust()));
  addInviteRoutes(web, deps);
  await web.ready();
  // Node begins to enforce headersTimeout and requestTimeout when a server listens; this one is handed its connections.
  web.server.emit('listening');
  return web;
}

/** How long a refused client may still send what was under way; a socket closed under it would be reset, and the answer lost. */
const lingerMs = 2_000;

/** Says in HTTP what is wrong with bytes that are no request (RFC 9112 section 9.6: close in stages, so that the answer arrives). */
function answerBrokenRequest(error: NodeJS.ErrnoException, socket: Socket): void {
  // The parser fails again on each chunk that was still under way.
  if (socket.writableEnded || socket.destroyed) return;
  const status =
    {
      HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
      ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
    }[error.code ?? ''] ?? '400 Bad Request';
  socket.end(`HTTP/1.1 ${status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
  setTimeout(() => socket.destroy(), lingerMs).unref();
}

function addInviteRoutes(web: FastifyInstance, deps: WebDeps): void {
  const client = deps.auth.client(LoginServiceDefinition);
  web.get('/invite/:token', (_request, reply) => sendPage(deps, reply, 'invite.html'));
  web.get<{ Params: { token: string } }>('/api/invite/:token', async (request) => {
    const parsed = token.safeParse(request.params.token);
    const invite = await client.getInvite({
      token: parsed.success ? parsed.data : 'x',
      clientAddress: addressOf(request.socket),
    });
    return {
      user: invite.user,
      roles: invite.roles,
      reset: invite.reset,
      secondFactor: invite.secondFactor,
    };
  });
  web.post('/api/invite', async (request) => {
    const body = acceptBody.parse(request.body);
    const accepted = await client.acceptInvite({
      ...body,
      clientAddress: addressOf(request.socket),
    });
    const { user, roles, totpUri } = accepted;
    const qr =
      totpUri === ''
        ? ''
        : await renderQrCode(totpUri, { type: 'svg', margin: 1, errorCorrectionLevel: 'M' });
    return { user, roles, totpUri, qr };
  });
}

function addressOf(socket: {
  remoteAddress?: string | undefined;
  remotePort?: number | undefined;
}): string {
  const { remoteAddress: ip = '', remotePort = 0 } = socket;
  return `${ip.includes(':') ? `[${ip}]` : ip}:${remotePort}`;
}

function describeCluster(trust: TrustBundle) {
  return {
    clusterName: trust.clusterName,
    caPins: trust.hostTlsCa.map(caPin),
    caBundle: trust.hostTlsCa.map((der) => derToPem(der, 'CERTIFICATE')).join(''),
    sshHostCa: trust.hostSsh,
  };
}

function readWebFile(deps: WebDeps, file: string): Buffer {
  return readFileSync(join(deps.webDir, file));
}

function sendPage(deps: WebDeps, reply: FastifyReply, file: string): FastifyReply {
  return reply.type('text/html; charset=utf-8').send(readWebFile(deps, file));
}

function answerError(deps: WebDeps, thrown: unknown, reply: FastifyReply): FastifyReply {
  if (thrown instanceof z.ZodError)
    return reply
      .code(400)
      .send({ error: { code: 'INVALID', message: 'the request is not valid' } });
  if (isHttpError(thrown))
    // A connection closed under a body that is still arriving would be reset, and this answer lost; the request's deadline bounds what is read.
    return reply
      .removeHeader('connection')
      .code(thrown.statusCode)
      .send({ error: { code: 'INVALID', message: thrown.message } });
  const error = toGatehouseError(thrown);
  deps.logger[error.kind === 'internal' ? 'error' : 'info']({ err: error }, 'web request failed');
  const { code, publicMessage: message, remedy, id } = error;
  return reply.code(statusOfKind[error.kind]).send({ error: { code, message, remedy, id } });
}

function isHttpError(thrown: unknown): thrown is Error & { statusCode: number } {
  return (
    thrown instanceof Error &&
    'statusCode' in thrown &&
    typeof thrown.statusCode === 'number' &&
    thrown.statusCode < 500
  );
}
