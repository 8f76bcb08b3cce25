/** Role options (D33): the strictest among the allowing roles that set one, else the default. */
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
  readonly sshSession: 'inspect' | 'end_to_end';
  readonly desktopClipboard: 'off' | 'to_desktop' | 'from_desktop' | 'both';
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
};
