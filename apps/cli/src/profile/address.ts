import { usageError } from '../errors.js';

/** A proxy's address as people write it, taken apart. */
export interface ProxyAddress {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
  /** `host:port`, with brackets around IPv6, lower case: the key of a cluster's profile. */
  readonly text: string;
}

const defaultPort = 443;

/** Reads `HOST`, `HOST:PORT`, `[IPV6]:PORT` or a https URL. @throws USAGE */
export function parseProxyAddress(text: string): ProxyAddress {
  const match = /^(?:https:\/\/)?(\[[0-9a-f:.]+\]|[^\s:/[\]@]+)(?::(\d{1,5}))?\/?$/i.exec(
    text.trim(),
  );
  const host = match?.[1]?.toLowerCase();
  const port = Number(match?.[2] ?? defaultPort);
  if (host === undefined || port < 1 || port > 65_535) {
    throw usageError(`"${text}" is no address of a cluster; write HOST:PORT`);
  }
  return { host: host.replace(/^\[|\]$/g, ''), port, text: `${host}:${port}` };
}
