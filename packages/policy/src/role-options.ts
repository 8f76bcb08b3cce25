/** Role options (D33): the strictest among the allowing roles that set one, else the default. */
import { parseDurationMs } from '@gatehouse/kit/clock';
import { z } from 'zod';

/** What a session or a login follows. */
export interface RoleOptions {
  /** Longest life of a certificate and of a session, ms. Default 12 h. */
  readonly maxSessionTtlMs: number;
  /** Ends a session after so long without activity, ms; undefined: never. */
  readonly idleTimeoutMs: number | undefined;
  readonly requireSessionMfa: boolean;
  readonly audit: 'best_effort' | 'strict';
  readonly lockMode: 'best_effort' | 'strict';
  readonly pinSourceIp: boolean;
  /** Most sessions of one person at a time; undefined: no limit. */
  readonly maxSessions: number | undefined;
  readonly forwardAgent: boolean;
  readonly portForwarding: 'none' | 'local' | 'remote' | 'both';
  readonly fileTransfer: 'none' | 'upload' | 'download' | 'both';
  /** `inspect` is the stricter one: what is inspected can be recorded and refused by the proxy. */
  readonly sshSession: 'inspect' | 'end_to_end';
  readonly desktopClipboard: 'off' | 'to_desktop' | 'from_desktop' | 'both';
  /** Values bound to prepared statements are kept in the audit. */
  readonly dbBindValues: boolean;
  /** A database's replication protocol, which carries everything that is written to it. */
  readonly dbReplication: boolean;
}

/** What holds where no allowing role says otherwise. */
export const defaultRoleOptions: RoleOptions = {
  maxSessionTtlMs: 12 * 3_600_000,
  idleTimeoutMs: undefined,
  requireSessionMfa: false,
  audit: 'best_effort',
  lockMode: 'best_effort',
  pinSourceIp: false,
  maxSessions: undefined,
  forwardAgent: false,
  portForwarding: 'none',
  fileTransfer: 'both',
  sshSession: 'inspect',
  desktopClipboard: 'off',
  dbBindValues: false,
  dbReplication: false,
};

/** A duration longer than zero, written `8h`; in ms once parsed. */
export const durationSchema = z.string().transform((text, context) => {
  const ms = parseDurationMs(text);
  if (ms !== undefined && ms > 0) return ms;
  context.addIssue({
    code: 'custom',
    message: `"${text}" is no duration; write it like 90s, 15m, 8h or 30d`,
  });
  return z.NEVER;
});

/** `spec.options` of a role document. */
export const roleOptionsSchema = z.strictObject({
  max_session_ttl: durationSchema.optional(),
  idle_timeout: durationSchema.optional(),
  require_session_mfa: z.boolean().optional(),
  audit: z.enum(['best_effort', 'strict']).optional(),
  lock_mode: z.enum(['best_effort', 'strict']).optional(),
  pin_source_ip: z.boolean().optional(),
  max_sessions: z.int().min(1).max(10_000).optional(),
  forward_agent: z.boolean().optional(),
  port_forwarding: z.enum(['none', 'local', 'remote', 'both']).optional(),
  file_transfer: z.enum(['none', 'upload', 'download', 'both']).optional(),
  ssh_session: z.enum(['inspect', 'end_to_end']).optional(),
  desktop_clipboard: z.enum(['off', 'to_desktop', 'from_desktop', 'both']).optional(),
  db_bind_values: z.boolean().optional(),
  db_replication: z.boolean().optional(),
});

/** The options that one role sets; undefined where it is silent. */
export type RoleOptionSettings = {
  readonly [Name in keyof RoleOptions]: RoleOptions[Name] | undefined;
};

/** The options of a document under the names of the code. */
export function decodeRoleOptions(options: z.output<typeof roleOptionsSchema>): RoleOptionSettings {
  return {
    maxSessionTtlMs: options.max_session_ttl,
    idleTimeoutMs: options.idle_timeout,
    requireSessionMfa: options.require_session_mfa,
    audit: options.audit,
    lockMode: options.lock_mode,
    pinSourceIp: options.pin_source_ip,
    maxSessions: options.max_sessions,
    forwardAgent: options.forward_agent,
    portForwarding: options.port_forwarding,
    fileTransfer: options.file_transfer,
    sshSession: options.ssh_session,
    desktopClipboard: options.desktop_clipboard,
    dbBindValues: options.db_bind_values,
    dbReplication: options.db_replication,
  };
}

/** The strictest of what the roles set, else the default. */
export function mergeRoleOptions(all: readonly RoleOptionSettings[]): RoleOptions {
  const pick = <Name extends keyof RoleOptions>(
    name: Name,
    rule: Stricter<RoleOptions[Name]>,
  ): RoleOptions[Name] =>
    all.reduce<RoleOptions[Name] | undefined>((strictest, { [name]: value }) => {
      if (value === undefined) return strictest;
      return strictest === undefined ? value : rule(strictest, value);
    }, undefined) ?? defaultRoleOptions[name];
  return {
    maxSessionTtlMs: pick('maxSessionTtlMs', Math.min),
    idleTimeoutMs: pick('idleTimeoutMs', least),
    requireSessionMfa: pick('requireSessionMfa', (left, right) => left || right),
    audit: pick('audit', preferring('strict')),
    lockMode: pick('lockMode', preferring('strict')),
    pinSourceIp: pick('pinSourceIp', (left, right) => left || right),
    maxSessions: pick('maxSessions', least),
    forwardAgent: pick('forwardAgent', (left, right) => left && right),
    portForwarding: pick('portForwarding', narrowing('none')),
    fileTransfer: pick('fileTransfer', narrowing('none')),
    sshSession: pick('sshSession', preferring('inspect')),
    desktopClipboard: pick('desktopClipboard', narrowing('off')),
    dbBindValues: pick('dbBindValues', (left, right) => left && right),
    dbReplication: pick('dbReplication', (left, right) => left && right),
  };
}

type Stricter<T> = (left: NoInfer<T>, right: NoInfer<T>) => T;

function least(left: number | undefined, right: number | undefined): number | undefined {
  if (left === undefined || right === undefined) return left ?? right;
  return Math.min(left, right);
}

function preferring<T extends string>(strict: T): <U extends string>(left: U, right: U) => U {
  return (left, right) => (isText(left, strict) ? left : right);
}

function isText(left: string, right: string): boolean {
  return left === right;
}

/** What both directions have in common; two single directions have nothing. */
function narrowing<None extends string>(
  none: None,
): <T extends string>(left: T, right: T) => T | None {
  return (left, right) => {
    if (left === right || isText(right, 'both')) return left;
    return isText(left, 'both') ? right : none;
  };
}
