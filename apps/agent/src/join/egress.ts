/**
 * The way out where only an HTTP proxy leads there: `HTTPS_PROXY` and `NO_PROXY` (TUN-14). Everything that an agent says
 * goes to one address, so it is found once.
 */
import { request } from 'node:http';
import type { Socket } from 'node:net';

import { Secret } from '@gatehouse/kit/config';

import { agentError } from '../errors.js';

/** An HTTP proxy that opens connections by CONNECT (RFC 9110 §9.3.6). */
export interface Egress {
  readonly host: string;
  readonly port: number;
  /** `user:password`. */
  readonly credentials: Secret | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The proxy to use for `address` (`host:port`), if any.
 * @throws AGENT_EGRESS_INVALID
 */
export function findEgress(address: string, environment: Environment): Egress | undefined {
  const text = environment['HTTPS_PROXY'] ?? environment['https_proxy'] ?? '';
  if (text === '') return undefined;
  const host = address.slice(0, address.lastIndexOf(':')).replace(/^\[|\]$/g, '');
  const exceptions = environment['NO_PROXY'] ?? environment['no_proxy'] ?? '';
  if (exceptions.split(/[\s,]+/).some((entry) => isException(entry, host, address)))
    return undefined;
  return parseEgress(text);
}

function isException(entry: string, host: string, address: string): boolean {
  if (entry === '') return false;
  if (entry === '*' || entry === host || entry === address) return true;
  const suffix = entry.replace(/^\*?\./, '');
  return host.toLowerCase().endsWith(`.${suffix.toLowerCase()}`);
}

function parseEgress(text: string): Egress {
  const url = URL.parse(text.includes('://') ? text : `http://${text}`);
  // The value may hold a password: it is not repeated.
  if (url?.protocol !== 'http:' || url.hostname === '') throw agentError('AGENT_EGRESS_INVALID');
  const { hostname, port, username, password } = url;
  const credentials =
    username === '' && password === ''
      ? undefined
      : new Secret(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`);
  return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 80), credentials };
}

/**
 * Opens a connection to `target` (`host:port`) through the proxy.
 * @throws AGENT_EGRESS_REFUSED, or the socket's error
 */
export async function connectThrough(
  egress: Egress,
  target: string,
  signal: AbortSignal,
): Promise<Socket> {
  const { host, port, credentials } = egress;
  const authorization =
    credentials && `Basic ${Buffer.from(credentials.reveal()).toString('base64')}`;
  return new Promise((resolve, reject) => {
    const sent = request({
      host,
      port,
      signal,
      agent: false,
      method: 'CONNECT',
      path: target,
      headers: { host: target, ...(authorization && { 'proxy-authorization': authorization }) },
    });
    sent.on('error', reject);
    sent.once('response', (response) => {
      response.destroy();
      reject(refused(response.statusCode));
    });
    sent.once('connect', (response, socket: Socket, head) => {
      socket.on('error', () => undefined);
      if (response.statusCode !== 200) {
        socket.destroy();
        reject(refused(response.statusCode));
        return;
      }
      socket.setNoDelay(true);
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    sent.end();
  });
}

function refused(status: number | undefined): Error {
  return agentError('AGENT_EGRESS_REFUSED', { details: { status: String(status ?? 0) } });
}
