/** A PostgreSQL server behind an agent, and how the agent logs in to it. */
import type { TargetType } from '@gatehouse/protocol-api';
import { z } from 'zod';

const addressPattern = /^(\[[0-9a-fA-F:.]+\]|[^\s\p{C}:[\]/]+):\d{1,5}$/u;

/** Where a secret lies; it is read anew for each login and never leaves the agent. */
const storedPassword = z
  .strictObject({
    /** The database user that it belongs to. */
    user: z.string().min(1).max(63),
    /** A file with the password alone; a relative path starts at the agent's configuration. */
    password_file: z.string().min(1).max(4096).optional(),
    /** The name of an environment variable of the agent. */
    password_env: z
      .string()
      .regex(/^[A-Za-z_]\w{0,254}$/)
      .optional(),
  })
  .refine((one) => (one.password_file === undefined) !== (one.password_env === undefined), {
    message: 'needs either password_file or password_env',
  });

export const postgresSpec = z
  .strictObject({
    protocol: z.literal('postgres').default('postgres'),
    /** `host:port` as the agent sees it. */
    address: z.string().max(300).regex(addressPattern, 'expected host:port'),
    /** TLS towards the server, whose certificate is verified; `off` for a server that has none. */
    tls: z
      .union([
        z.literal('off'),
        z.strictObject({
          /** PEM of the authorities that may have signed its certificate. Default: those that the system trusts. */
          ca_file: z.string().min(1).max(4096).optional(),
          /** The name in its certificate. Default: the host of `address`. */
          server_name: z.string().min(1).max(253).optional(),
        }),
      ])
      .default({}),
    /** How the agent logs in. Without it: only where the server asks for no password. */
    auth: z
      .union([
        z.strictObject({ password: z.union([storedPassword, z.array(storedPassword).max(100)]) }),
        // A certificate of db_client, CN=<user>@<target>, which the agent gets for itself.
        z.strictObject({ certificate: z.literal(true) }),
      ])
      .optional(),
  })
  .refine(({ auth, tls }) => tls !== 'off' || auth === undefined || !('certificate' in auth), {
    message: 'a login by certificate needs TLS',
  });

export type PostgresSpec = z.output<typeof postgresSpec>;

export const target: TargetType<PostgresSpec> = {
  protocol: 'postgres',
  kind: 'database',
  help: 'a PostgreSQL server: {address: host:port, tls: {ca_file} or off, auth: {password: {user, password_file}} or {certificate: true}}',
  spec: postgresSpec,
  principals: 'db_users',
  onlyConfigured: ({ auth, tls }) =>
    (auth === undefined || 'certificate' in auth) && (tls === 'off' || tls.ca_file === undefined)
      ? undefined
      : 'stored credentials and files are named by the configuration of the agent alone',
};
