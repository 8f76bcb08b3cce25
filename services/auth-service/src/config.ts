/** What an operator may set. `docs/config/auth-service.example.yaml` is the manual. */
import type { ServiceCommandLine } from '@gatehouse/kit/command-line';
import { duration, hostPort } from '@gatehouse/kit/config';
import { eventLogSchema } from '@gatehouse/kit/event-log';
import { stopSettings } from '@gatehouse/kit/lifecycle';
import { databaseSchema } from '@gatehouse/kit/postgres';
import { z } from 'zod';

/** auth-service's configuration as it stands in YAML. */
export const authConfigSchema = z.strictObject({
  /** In certificates and internal server names; never changes. */
  cluster_name: z
    .string()
    .regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, 'letters, digits and dashes'),
  /** gRPC for the other services, mutual TLS. */
  listen: hostPort.default('127.0.0.1:3025'),
  /** gRPC for people and agents, behind the proxies: each connection starts with a PROXY v2 header. */
  public_listen: hostPort.default('127.0.0.1:3026'),
  /** /healthz, /readyz, /metrics. */
  metrics_listen: hostPort.default('127.0.0.1:9440'),
  /** What people and agents dial: the proxies' port. In links and host certificates. */
  public_addr: hostPort,
  /** More names of the port, for its SSH host certificate. */
  public_names: z.array(z.string().max(253)).max(50).default([]),
  /** Names and addresses under which the other services reach `listen`. */
  dns_names: z.array(z.string().max(253)).max(50).default(['localhost', '127.0.0.1']),
  database: databaseSchema.prefault({}),
  /** Key-encryption keys, one a line, 32 bytes as base64 or hex; the first seals, all open. */
  kek_file: z.string(),
  /** The secret of each kind of service, 32 random bytes as text. */
  join_secret_files: z.strictObject({ proxy: z.string(), tunnel: z.string(), audit: z.string() }),
  /** Where audit events go. */
  event_log: eventLogSchema,
  ttl: z
    .strictObject({
      /** Longest login, where no role says less. */
      login: duration('12h'),
      /** SSH certificates with which proxies log in upstream. */
      target_certificate: duration('1h'),
      host_certificate: duration('24h'),
      service_certificate: duration('24h'),
      agent_certificate: duration('30d'),
      /** Invitations and links to reset. */
      invite: duration('24h'),
      join_token: duration('30m'),
    })
    .prefault({}),
  lockout: z
    .strictObject({
      /** Wrong tries in a row until a person's account waits. */
      attempts: z.int().min(1).max(100).default(5),
      wait: duration('15m'),
      /** Failures of one address until it is slowed to one try a second. */
      address_attempts: z.int().min(1).max(100_000).default(20),
    })
    .prefault({}),
  ...stopSettings('10s'),
  log: z
    .strictObject({
      level: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
      format: z.enum(['json', 'text']).default('json'),
    })
    .prefault({}),
});

/** What the process understands. */
export const authCommandLine: ServiceCommandLine<typeof authConfigSchema> = {
  name: 'auth-service',
  summary: 'people, roles, certificates and the inventory of a Gatehouse cluster.',
  schema: authConfigSchema,
  verbs: {
    'invite-admin': 'print a link for the first administrator',
    migrate: 'bring the database up to date and give database.grant_to its rights',
  },
  environment: { AUTH_DATABASE_URL: 'takes the place of database.url' },
};

export type AuthConfig = z.output<typeof authConfigSchema>;
/** The same before defaults. */
export type AuthConfigInput = z.input<typeof authConfigSchema>;
