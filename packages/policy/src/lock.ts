/** What a lock names; exactly one field is set. */
export interface LockTarget {
  readonly user?: string;
  readonly role?: string;
  readonly login?: string;
  readonly target?: string;
  readonly agent?: string;
  readonly replica?: string;
  /** lgn_… */
  readonly loginSession?: string;
  /** req_… */
  readonly request?: string;
  readonly mfaDevice?: string;
}

/** A lock: whom it names gets nothing and loses what is open. */
export interface Lock {
  readonly name: string;
  readonly target: LockTarget;
  /** What the person is told after `locked: `. */
  readonly message: string;
  readonly expiresAtMs?: number;
  readonly createdAtMs: number;
}

/** Everything a lock could name about one connection. Absent: not known, so no lock on it can match. */
export interface LockSubject {
  readonly user?: string;
  readonly roles?: readonly string[];
  readonly login?: string;
  readonly target?: string;
  readonly agent?: string;
  readonly replica?: string;
  /** lgn_… */
  readonly loginId?: string;
  /** Active access requests, req_… */
  readonly requests?: readonly string[];
  readonly mfaDevice?: string;
}

/**
 * Checks a lock document `{kind: lock, version: v1, metadata: {name}, spec: {target: {user | role | …}, message, expires_at, created_at}}`.
 * @throws POLICY_INVALID
 */
export function parseLock(document: unknown): Lock {
  throw new Error(`not yet: ${typeof document}`);
}

/** The first lock in force that names something of `subject`. */
export function findLock(
  locks: readonly Lock[],
  subject: LockSubject,
  nowMs: number,
): Lock | undefined {
  throw new Error(`not yet: ${locks.length} ${typeof subject} ${nowMs}`);
}
