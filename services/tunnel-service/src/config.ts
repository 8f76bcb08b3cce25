/** Configuration of tunnel-service; docs/config/tunnel-service.example.yaml is the manual. */
import type { ServiceCommandLine } from '@gatehouse/kit/command-line';
import { byteSize, duration, hostPort, rpcAddresses } from '@gatehouse/kit/config';
import { eventLogSchema } from '@gatehouse/kit/event-log';
import { stopSettings } from '@gatehouse/kit/lifecycle';
import { z } from 'zod';

export const tunnelConfigSchema = z.strictObject({
  /** In certificates and internal server names. */
  cluster_name: z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/),
  /** gRPC for the proxies, mutual TLS. */
  listen: hostPort.default('127.0.0.1:3028'),
  /** Where agents' tunnels arrive, passed on by the proxies. */
  public_listen: hostPort.default('127.0.0.1:3029'),
  /** True: each connection on `public_listen` starts with a PROXY v2 header. False only where agents dial it directly. */
  proxy_header: z.boolean().default(true),
  /** `/healthz`, `/readyz`, `/metrics`; never reachable from outside. */
  metrics_listen: hostPort.default('127.0.0.1:9444'),
  /** Names and addresses under which the proxies reach `listen`. */
  dns_names: z.array(z.string().max(253)).max(50).default(['localhost', '127.0.0.1']),
  auth: z.strictObject({
    /** Internal listener of auth-service, or those of its replicas. */
    address: rpcAddresses,
    join_secret_file: z.string(),
  }),
  /** Certificate of this replica, between starts. */
  state_dir: z.string(),
  /** What audit events and recordings go through. */
  event_log: eventLogSchema,
  /** Where this service's audit events wait for the event log; without it they are only logged. */
  spool: z
    .strictObject({
      dir: z.string(),
      events: byteSize('64MiB'),
    })
    .optional(),
  limits: z
    .strictObject({
      /** Tunnels of all agents; one agent has eight at most. */
      tunnels: z.int().min(1).max(100_000).default(12_000),
      /** Connections through one tunnel at a time. */
      streams_per_tunnel: z.int().min(1).max(10_000).default(2_000),
      /** TLS handshakes a second, on average; agents that come faster wait or try again later. */
      admissions_per_second: z.int().min(1).max(10_000).default(100),
      /** How long an agent may take from its connection to its first message. */
      handshake_timeout: duration('10s'),
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

/** What the process understands. */
export const tunnelCommandLine: ServiceCommandLine<typeof tunnelConfigSchema> = {
  name: 'tunnel-service',
  summary: "agents' tunnels of a Gatehouse cluster.",
  schema: tunnelConfigSchema,
};

export type TunnelConfig = z.output<typeof tunnelConfigSchema>;
