/** Configuration of audit-service; docs/config/audit-service.example.yaml is the manual. */
import type { ServiceCommandLine } from '@gatehouse/kit/command-line';
import { duration, hostPort, rpcAddresses } from '@gatehouse/kit/config';
import { eventLogSchema } from '@gatehouse/kit/event-log';
import { stopSettings } from '@gatehouse/kit/lifecycle';
import { databaseSchema } from '@gatehouse/kit/postgres';
import { z } from 'zod';

const weekMs = 7 * 24 * 3_600_000;
const weekNote = 'keep at least seven days';
const isWeek = (ms: number) => ms >= weekMs;

export const auditConfigSchema = z.strictObject({
  cluster_name: z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/),
  /** What people search and play through; reached through the one port, each connection starts with a PROXY v2 header. */
  public_listen: hostPort.default('127.0.0.1:3027'),
  /** `/healthz`, `/readyz`, `/metrics`; never reachable from outside. */
  metrics_listen: hostPort.default('127.0.0.1:9442'),
  auth: z.strictObject({
    /** Internal listener of auth-service, or those of its replicas. */
    address: rpcAddresses,
    join_secret_file: z.string(),
  }),
  /** Certificate of this replica, between starts. */
  state_dir: z.string(),
  /** What audit events and recordings come through. */
  event_log: eventLogSchema,
  /** Makes topics that are missing. False where somebody else makes them and this service may not. */
  create_topics: z.boolean().default(true),
  database: databaseSchema.refine(
    ({ url, socket }) => (url === undefined) !== (socket === undefined),
    'set either url or socket',
  ),
  recordings: z.strictObject({
    /** Where chunks of recordings lie, one file each. */
    dir: z.string(),
  }),
  /** What is older goes, at least seven days: the topics keep as long what would come again. */
  retention: z
    .strictObject({
      /** By whole days. */
      events: duration('400d').refine(isWeek, weekNote),
      recordings: duration('90d').refine(isWeek, weekNote),
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
export const auditCommandLine: ServiceCommandLine<typeof auditConfigSchema> = {
  name: 'audit-service',
  summary: 'stores audit events and recordings, answers searches, plays recordings.',
  schema: auditConfigSchema,
  verbs: { migrate: 'bring the database up to date and give database.grant_to its rights' },
  environment: { AUDIT_DATABASE_URL: 'takes the place of database.url' },
};

export type AuditConfig = z.output<typeof auditConfigSchema>;
