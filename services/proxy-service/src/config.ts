import type { ServiceCommandLine } from '@gatehouse/kit/command-line';
/** Configuration of proxy-service; docs/config/proxy-service.example.yaml is the manual. */
import { byteSize, duration, hostPort, hostPorts, rpcAddresses } from '@gatehouse/kit/config';
import { eventLogSchema } from '@gatehouse/kit/event-log';
import { stopSettings } from '@gatehouse/kit/lifecycle';
import { z } from 'zod';

export const proxyConfigSchema = z.strictObject({
  cluster_name: z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/),
  /** The one TLS port. */
  listen: hostPort.default('127.0.0.1:8443'),
  /** What people and agents dial; its host goes into certificates. */
  public_addr: hostPort.default('localhost:8443'),
  /** `/healthz`, `/readyz`, `/metrics`; never reachable from outside. */
  metrics_listen: hostPort.default('127.0.0.1:9443'),
  auth: z.strictObject({
    /** Internal listener, or those of the replicas, for the proxy itself. */
    address: rpcAddresses,
    /** Public-side listener, or those of the replicas, for what clients say to auth-service through this port. */
    public_address: hostPorts,
    join_secret_file: z.string(),
  }),
  audit: z.strictObject({ public_address: hostPorts }),
  tunnel: z.strictObject({
    /** Internal listeners of all tunnel replicas; a name stands for all its addresses. */
    addresses: z.array(hostPort).min(1).max(200),
    /** Where agents' tunnels are passed on to, in the same order. */
    public_addresses: z.array(hostPort).min(1).max(200),
  }),
  /** Certificate of this replica, between starts. */
  state_dir: z.string(),
  /** What audit events and recordings go through. */
  event_log: eventLogSchema,
  spool: z.strictObject({
    dir: z.string(),
    events: byteSize('256MiB'),
    recordings: byteSize('1GiB'),
  }),
  limits: z
    .strictObject({
      /** Connections of one address that have not yet proven who they are; those of browsers count apart, up to the same number. */
      unauthenticated_per_address: z.int().min(1).default(100),
      /** The same for all addresses together. */
      unauthenticated_total: z.int().min(1).default(2_000),
      /** New connections of one address a second, on average; bursts of ten times as many pass. */
      connections_per_second: z.int().min(1).default(200),
      /** How long a connection may take to say what it wants. */
      greeting_timeout: duration('10s'),
      /** How long it may take to prove who it is. */
      login_timeout: duration('30s'),
    })
    .prefault({}),
  ...stopSettings('1h'),
  log: z
    .strictObject({
      level: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
      format: z.enum(['json', 'text']).default('json'),
    })
    .prefault({}),
});

export const proxyCommandLine: ServiceCommandLine<typeof proxyConfigSchema> = {
  name: 'proxy-service',
  summary: 'the one TLS port: opens protocols, decides, records.',
  schema: proxyConfigSchema,
};

export type ProxyConfig = z.output<typeof proxyConfigSchema>;
