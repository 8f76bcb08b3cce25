/** Locks: what they name is refused and ended at once, whatever the roles say. */
import { z } from 'zod';

import { metadataSchema, parseDocument } from './document.js';
import { foldName } from './fold-name.js';

/** What a lock names; exactly one field is set, but see {@link readLock}. */
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
  /** Why its document is not understood; only of {@link readLock}. */
  readonly problem?: string;
}

/** Everything a lock could name about one connection. Absent: not known, so no lock on it can match. */
export interface LockSubject {
  readonly user?: string;
  readonly roles?: readonly string[];
  readonly login?: string;
  readonly target?: string;
  /** Every name of the agent: its id, its own, its group's. */
  readonly agents?: readonly string[];
  readonly replica?: string;
  /** lgn_… */
  readonly loginId?: string;
  /** Active access requests, req_… */
  readonly requests?: readonly string[];
  readonly mfaDevice?: string;
}

const nameSchema = z.string().min(1).max(256);
const timeSchema = z.iso.datetime({ offset: true }).transform((text) => Date.parse(text));

const targetFieldsSchema = z.strictObject({
  user: nameSchema.optional(),
  role: nameSchema.optional(),
  login: nameSchema.optional(),
  target: nameSchema.optional(),
  agent: nameSchema.optional(),
  replica: nameSchema.optional(),
  login_session: nameSchema.optional(),
  request: nameSchema.optional(),
  mfa_device: nameSchema.optional(),
});

const targetSchema = targetFieldsSchema.refine(
  (target) => Object.values(target).filter((value) => value !== undefined).length === 1,
  {
    message:
      'a lock names exactly one of user, role, login, target, agent, replica, login_session, request, mfa_device',
  },
);

const lockSchema = z.strictObject({
  kind: z.literal('lock'),
  version: z.literal('v1'),
  metadata: metadataSchema,
  spec: z.strictObject({
    target: targetSchema,
    message: z.string().max(1024).optional(),
    expires_at: timeSchema.optional(),
    created_at: timeSchema.optional(),
  }),
});

/**
 * Checks a lock document `{kind: lock, version: v1, metadata: {name, created_at?}, spec: {target: {user | role | …},
 * message?, expires_at?}}`. Times are RFC 3339.
 * @throws POLICY_INVALID
 */
export function parseLock(document: unknown): Lock {
  const { metadata, spec } = parseDocument(lockSchema, document, 'lock');
  const createdAtMs = Date.parse(metadata.created_at ?? '');
  return {
    name: metadata.name,
    target: decodeTarget(spec.target),
    message: spec.message ?? 'no reason was given',
    ...(spec.expires_at === undefined ? {} : { expiresAtMs: spec.expires_at }),
    createdAtMs: spec.created_at ?? (Number.isNaN(createdAtMs) ? 0 : createdAtMs),
  };
}

/** For people whom a lock that is not understood may name. */
const notUnderstood = 'a lock is not understood by this version of Gatehouse';

const rawSchema = z.object({
  spec: z.object({
    target: targetFieldsSchema.catch({}),
    message: z.string().max(1024).catch(notUnderstood),
    expires_at: timeSchema.optional().catch(undefined),
  }),
});

/**
 * A lock as it is stored, whichever version wrote it. What is not understood locks more than it should, never less: all
 * that its target names, for as long as it is there. Where not even the target is understood, it names nothing here, and
 * {@link findUnreadableLock} finds it. Never throws.
 */
export function readLock(document: unknown, name: string): Lock {
  try {
    return parseLock(document);
  } catch (thrown) {
    const problem = thrown instanceof Error ? thrown.message : String(thrown);
    const raw = rawSchema.safeParse(document).data?.spec;
    return {
      name,
      target: decodeTarget(raw?.target ?? {}),
      message: raw?.message ?? notUnderstood,
      ...(raw?.expires_at === undefined ? {} : { expiresAtMs: raw.expires_at }),
      createdAtMs: 0,
      problem,
    };
  }
}

/** A lock of which nobody can say whom it names. It may be anybody: nothing new is opened while it is there. */
export function findUnreadableLock(locks: readonly Lock[]): Lock | undefined {
  return locks.find(({ target }) => Object.keys(target).length === 0);
}

function decodeTarget(fields: z.output<typeof targetFieldsSchema>): LockTarget {
  const { login_session: loginSession, mfa_device: mfaDevice, ...rest } = fields;
  const all: Readonly<Record<string, string | undefined>> = { ...rest, loginSession, mfaDevice };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

/** The first lock in force that names something of `subject`. A lock ends at `expiresAtMs`. */
export function findLock(
  locks: readonly Lock[],
  subject: LockSubject,
  nowMs: number,
): Lock | undefined {
  return locks.find(
    (lock) =>
      (lock.expiresAtMs === undefined || nowMs < lock.expiresAtMs) &&
      matchesSubject(lock.target, subject),
  );
}

function matchesSubject(target: LockTarget, subject: LockSubject): boolean {
  return (
    isNamed(target.user, [subject.user]) ||
    isNamed(target.role, subject.roles) ||
    isNamed(target.target, [subject.target]) ||
    isNamed(target.agent, subject.agents) ||
    isExactly(target.login, [subject.login]) ||
    isExactly(target.replica, [subject.replica]) ||
    isExactly(target.loginSession, [subject.loginId]) ||
    isExactly(target.request, subject.requests) ||
    isExactly(target.mfaDevice, [subject.mfaDevice])
  );
}

type Values = readonly (string | undefined)[];

/** Names that Gatehouse gives: the same one in another spelling is meant too. */
function isNamed(name: string | undefined, values: Values = []): boolean {
  if (name === undefined) return false;
  const folded = foldName(name);
  return values.some((value) => value !== undefined && foldName(value) === folded);
}

/** Logins are the target's, which tells `Root` from `root`; ids have one spelling. */
function isExactly(name: string | undefined, values: Values = []): boolean {
  return name !== undefined && values.includes(name);
}
