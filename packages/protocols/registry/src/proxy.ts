// Written by tools/generate-registry.ts from the folders under packages/protocols.
import type { ProxyProtocol, ProxyServices } from '@gatehouse/protocol-api';
import { createProxy as postgres } from '@gatehouse/protocol-postgres/proxy';
import { createProxy as ssh } from '@gatehouse/protocol-ssh/proxy';
import { createProxy as tcp } from '@gatehouse/protocol-tcp/proxy';

/** The registry: how the proxy speaks each protocol. */
export const proxyProtocols: Readonly<Record<string, (services: ProxyServices) => ProxyProtocol>> =
  { postgres, ssh, tcp };
