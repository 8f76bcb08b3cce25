/**
 * First contact with a cluster: `GET /.well-known/gatehouse.json` on the port, trusted by a public authority or by a
 * pin. With a pin, only authorities with that key are taken, whoever vouches for the port; and where no public authority
 * does, the chain that the port shows must lead to one of them, and the certificate at its end must be a proxy's.
 */
import { X509Certificate, createHash } from 'node:crypto';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { connect, type TLSSocket } from 'node:tls';

import { pemToDer } from '@gatehouse/identity';
import { z } from 'zod';

import { cliError } from '../errors.js';
import type { ProxyAddress } from '../profile/address.js';
import { codeOf, describeNetworkError } from './network-errors.js';
import { isProxyOf } from './peer-name.js';

/** What `/.well-known/gatehouse.json` says, as far as it is to be trusted. */
export interface ClusterInfo {
  readonly clusterName: string;
  /** `sha256:…` of the CAs of `caBundle`. */
  readonly caPins: readonly string[];
  /** Certificates of its host_tls CAs, PEM; with pins, of those alone that have one. */
  readonly caBundle: string;
  /** True where the cluster says that a login needs a code. */
  readonly needsSecondFactor: boolean;
}

const infoSchema = z.object({
  clusterName: z.string().regex(/^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/i),
  caBundle: z
    .string()
    .transform(parseBundle)
    .refine((authorities) => authorities.length > 0),
  secondFactor: z.string().optional(),
});

const timeoutMs = 10_000;
const maxAnswerBytes = 1 << 20;
/** Longest chain that is looked at. */
const maxChain = 10;

/** Where to look, and what to trust. */
export interface DiscoverOptions {
  readonly address: ProxyAddress;
  /** Any of them will do, and one must; none: a public authority must have signed. */
  readonly pins: readonly string[];
  readonly nowMs: number;
}

/** @throws PROXY_UNREACHABLE, PROXY_UNTRUSTED, PIN_NEEDED, NOT_A_CLUSTER */
export async function discoverCluster(options: DiscoverOptions): Promise<ClusterInfo> {
  const socket = await connectTrusted(options);
  try {
    return decodeInfo(await fetchInfo(socket, options.address), options);
  } finally {
    socket.destroy();
  }
}

async function connectTrusted(options: DiscoverOptions): Promise<TLSSocket> {
  const { address } = options;
  const { host, port } = address;
  const socket = connect({
    host,
    port,
    ...(/^[\d.]+$|:/.test(host) ? {} : { servername: host }),
    ALPNProtocols: ['http/1.1'],
    // What is shown is judged below, by the pin or by Node's own verdict on the chain and the name.
    rejectUnauthorized: false,
  });
  socket.on('error', () => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    const fail = (cause: Error) =>
      reject(
        cliError('PROXY_UNREACHABLE', {
          details: { proxy: address.text, why: describeNetworkError(cause) },
          cause,
        }),
      );
    socket.setTimeout(timeoutMs, () =>
      socket.destroy(Object.assign(new Error('timed out'), { code: 'ETIMEDOUT' })),
    );
    socket.once('error', fail);
    socket.once('secureConnect', () => {
      socket.off('error', fail);
      resolve();
    });
  });
  try {
    judgePeer(socket, options);
    return socket;
  } catch (thrown) {
    socket.destroy();
    throw thrown;
  }
}

function judgePeer(socket: TLSSocket, { address, pins, nowMs }: DiscoverOptions): void {
  if (socket.authorized) return;
  const why = describeNetworkError(socket.authorizationError);
  const proxy = address.text;
  if (pins.length === 0) throw cliError('PIN_NEEDED', { details: { proxy, why } });
  const chain = chainOf(socket);
  const problem = findChainProblem(chain, pins, nowMs);
  if (problem !== undefined)
    throw cliError('PROXY_UNTRUSTED', { details: { proxy, why: problem } });
}

/** The certificates that the peer sent, its own first. */
function chainOf(socket: TLSSocket): X509Certificate[] {
  const chain: X509Certificate[] = [];
  let certificate = socket.getPeerX509Certificate();
  while (certificate !== undefined && chain.length < maxChain) {
    const { fingerprint256 } = certificate;
    if (chain.some((seen) => seen.fingerprint256 === fingerprint256)) break;
    chain.push(certificate);
    certificate = certificate.issuerCertificate;
  }
  return chain;
}

/** Why a chain is not to be trusted by these pins, else undefined. Exported for tests. */
export function findChainProblem(
  chain: readonly X509Certificate[],
  pins: readonly string[],
  nowMs: number,
): string | undefined {
  const [leaf, ...issuers] = chain;
  if (leaf === undefined) return 'it shows no certificate';
  const anchor = issuers.findIndex((certificate) => certificate.ca && isPinned(certificate, pins));
  if (anchor < 0) return 'no authority of its certificate has the key of the pin';
  const path = chain.slice(0, anchor + 2);
  const isSigned = path.every((certificate, index) => {
    const issuer = path[index + 1];
    return (
      issuer === undefined ||
      (certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey) && issuer.ca)
    );
  });
  if (!isSigned) return 'its certificate is not signed by the authority of the pin';
  if (path.some((certificate) => !isInDate(certificate, nowMs)))
    return 'its certificate has expired, or the clock is wrong';
  return isProxyOf(leaf.subjectAltName, undefined)
    ? undefined
    : 'its certificate is not that of a proxy';
}

function isInDate(certificate: X509Certificate, nowMs: number): boolean {
  const toleranceMs = 120_000;
  return (
    certificate.validFromDate.getTime() - toleranceMs <= nowMs &&
    nowMs < certificate.validToDate.getTime() + toleranceMs
  );
}

function isPinned(certificate: X509Certificate, pins: readonly string[]): boolean {
  const own = pinOf(certificate);
  return pins.some((pin) => pin.toLowerCase() === own);
}

function pinOf(certificate: X509Certificate): string {
  const spki = certificate.publicKey.export({ format: 'der', type: 'spki' });
  return `sha256:${createHash('sha256').update(spki).digest('hex')}`;
}

async function fetchInfo(socket: TLSSocket, address: ProxyAddress): Promise<string> {
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = httpRequest(
        {
          path: '/.well-known/gatehouse.json',
          headers: { host: address.text },
          createConnection: () => socket,
        },
        resolve,
      );
      request.once('error', reject);
      socket.once('timeout', () => request.destroy(new Error('timed out')));
      request.end();
    });
    if (response.statusCode !== 200) throw new Error(`HTTP status ${response.statusCode ?? 0}`);
    return await readBounded(response);
  } catch (thrown) {
    const why =
      codeOf(thrown) === undefined && thrown instanceof Error
        ? thrown.message
        : describeNetworkError(thrown);
    throw cliError('NOT_A_CLUSTER', { details: { proxy: address.text, why }, cause: thrown });
  }
}

async function readBounded(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    const piece = Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk));
    bytes += piece.length;
    if (bytes > maxAnswerBytes) throw new Error('its answer is too long');
    chunks.push(piece);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function decodeInfo(text: string, { address, pins }: DiscoverOptions): ClusterInfo {
  const proxy = address.text;
  const parsed = infoSchema.safeParse(tryParse(text));
  if (!parsed.success) {
    const why = 'its /.well-known/gatehouse.json is not understood';
    throw cliError('NOT_A_CLUSTER', { details: { proxy, why } });
  }
  const { clusterName, caBundle, secondFactor } = parsed.data;
  const trusted =
    pins.length === 0 ? caBundle : caBundle.filter((authority) => isPinned(authority, pins));
  if (trusted.length === 0) {
    const why = 'no authority of its cluster has the key of the pin';
    throw cliError('PROXY_UNTRUSTED', { details: { proxy, why } });
  }
  return {
    clusterName,
    caPins: trusted.map(pinOf),
    caBundle: trusted.join(''),
    needsSecondFactor: secondFactor === 'required',
  };
}

/** Empty where the text holds anything but certificates. */
function parseBundle(pem: string): readonly X509Certificate[] {
  try {
    return pemToDer(pem).map((der) => new X509Certificate(der));
  } catch {
    return [];
  }
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
