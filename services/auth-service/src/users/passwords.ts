/** Passwords: argon2id, capped concurrency, and a check against those that everybody tries first. */
import { hash, verify } from '@node-rs/argon2';

import { authError } from '../errors.js';

export interface PasswordHasher {
  /** A PHC string. */
  hash(password: string): Promise<string>;
  /** The same work whether or not there is a hash to compare with. */
  verify(stored: string | undefined, password: string): Promise<boolean>;
}

/** 19 MiB, two passes: OWASP's recommendation for argon2id. */
const cost = { memoryCost: 19_456, timeCost: 2, parallelism: 1 };
/** libuv has four threads, and other work needs some. */
const maxAtOnce = 2;
const maxWaiting = 200;

/**
 * @param decoySecret any unguessable text: what unknown names are compared with
 * @throws from its functions LOGIN_BUSY when too many wait
 */
export async function createPasswordHasher(decoySecret: string): Promise<PasswordHasher> {
  const limit = createLimiter();
  const decoy = await hash(decoySecret, cost);
  return {
    hash: async (password) => limit(async () => hash(normalize(password), cost)),
    async verify(stored, password) {
      const matches = await limit(async () => verify(stored ?? decoy, normalize(password)));
      return stored !== undefined && matches;
    },
  };
}

/** One form for what keyboards type differently (RFC 8265 §4.2.2). */
function normalize(password: string): string {
  return password.normalize('NFC');
}

function createLimiter(): <T>(work: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async (work) => {
    if (running >= maxAtOnce) {
      if (waiting.length >= maxWaiting) throw authError('LOGIN_BUSY');
      await new Promise<void>((resolve) => {
        waiting.push(resolve);
      });
    } else running += 1;
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
}

const minPasswordChars = 10;
export const maxPasswordBytes = 1024;

const common = [
  'password',
  'passwort',
  'qwertyuiop',
  'qwertzuiop',
  'letmein',
  'administrator',
  'iloveyou',
  'welcome',
  'changeme',
  'gatehouse',
  'asdfghjkl',
];

/** @throws PASSWORD_WEAK */
export function checkPassword(password: string, user: string): void {
  const why = findWeakness(normalize(password), user);
  if (why !== undefined) throw authError('PASSWORD_WEAK', { details: { why } });
}

function findWeakness(password: string, user: string): string | undefined {
  const chars = Array.from(password);
  if (chars.length < minPasswordChars) return `it has fewer than ${minPasswordChars} characters`;
  if (Buffer.byteLength(password) > maxPasswordBytes)
    return `it is longer than ${maxPasswordBytes} bytes`;
  if (new Set(chars).size < 4) return 'it repeats few characters';
  if (isSequence(chars)) return 'it is a plain sequence';
  // What is left when the parts that everybody tries are taken away.
  let rest = password.toLowerCase();
  if (user.length >= 3) rest = rest.replaceAll(user.toLowerCase(), '');
  for (const word of common) rest = rest.replaceAll(word, '');
  rest = rest.replaceAll(/[\d\s!?._@#$*-]+/g, '');
  if (rest === '' && !/^[\d\s!?._@#$*-]+$/.test(password))
    return 'it is among the first that everybody tries';
  return undefined;
}

function isSequence(chars: readonly string[]): boolean {
  const codes = chars.map((char) => char.codePointAt(0) ?? 0);
  const [first, second] = codes;
  const step = (second ?? 0) - (first ?? 0);
  if (Math.abs(step) > 1) return false;
  // A digit row may wrap: 1234567890.
  return codes.every((code, index) => {
    const before = codes[index - 1];
    return before === undefined || code - before === step || Math.abs(code - before) === 9;
  });
}
