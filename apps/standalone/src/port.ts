/** The one port: where it listens, how this process dials it, and what people call it where nothing else was said. */
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

import { systemErrorCode } from '@gatehouse/kit/errors';

import { standaloneError } from './errors.js';

/** Every address of the machine, and the loopback address by which it is dialled. */
const wildcards: ReadonlyMap<string, string> = new Map([
  ['0.0.0.0', '127.0.0.1'],
  ['::', '::1'],
]);
/** Where `localhost` leads. */
const localAddresses: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '::1']);

/** `host:port`, with brackets around IPv6. */
export function formatAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** How the port is dialled from this machine. */
export function dialAddress(listen: string, port: number): string {
  return formatAddress(wildcards.get(listen) ?? listen, port);
}

/** What people dial by default: `localhost:<port>` where that leads to the port. */
export function publicAddressFor(listen: string, port: number): string {
  const host = wildcards.get(listen) ?? listen;
  return formatAddress(localAddresses.has(host) ? 'localhost' : host, port);
}

/**
 * The port asked for, or any free one; chosen before anything else starts, as certificates and links name it.
 * A free one is looked for below the ports that systems hand out by themselves (Linux: 32768 and up; RFC 6335 §6: 49152
 * and up): one of those could go to another listener, or to a connection, of this very cluster before it is opened.
 * @throws PORT_TAKEN, PORT_FORBIDDEN, ADDRESS_UNKNOWN
 */
export async function choosePort({
  listen,
  port,
}: {
  readonly listen: string;
  readonly port: number;
}): Promise<number> {
  for (let triesLeft = port === 0 ? 100 : 1; ; triesLeft -= 1) {
    const candidate = port === 0 ? randomInt(20_000, 32_768) : port;
    try {
      await tryPort(listen, candidate);
      return candidate;
    } catch (cause) {
      if (systemErrorCode(cause) === 'EADDRINUSE' && triesLeft > 1) continue;
      throw explainPortError(cause, { listen, port: String(candidate) });
    }
  }
}

async function tryPort(listen: string, port: number): Promise<void> {
  const probe = createServer();
  await new Promise<void>((resolve, reject) => {
    probe.once('error', reject);
    probe.listen(port, listen, resolve);
  });
  await new Promise((resolve) => probe.close(resolve));
}

/** Why a port can not be had, in words; what says nothing about the port comes back as it is. */
export function explainPortError(
  cause: unknown,
  details: { readonly listen: string; readonly port: string },
): unknown {
  const code = reasons[systemErrorCode(cause) ?? ''];
  return code === undefined ? cause : standaloneError(code, { cause, details });
}

const reasons: Readonly<Record<string, 'PORT_TAKEN' | 'PORT_FORBIDDEN' | 'ADDRESS_UNKNOWN'>> = {
  EADDRINUSE: 'PORT_TAKEN',
  EACCES: 'PORT_FORBIDDEN',
  EADDRNOTAVAIL: 'ADDRESS_UNKNOWN',
  ENOTFOUND: 'ADDRESS_UNKNOWN',
};
