/** The operating system's user behind a login, and how a process becomes that user (D32). */
import { execFile } from 'node:child_process';
import { access, readFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { basename } from 'node:path';
import { promisify } from 'node:util';

import { sshError } from '../errors.js';

const execFileAsync = promisify(execFile);

/** A user with a shell, and the words in front of a command that make it run as this user. */
export interface OsUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  readonly shell: string;
  /** Empty when the process is this user already. */
  readonly become: readonly string[];
}

/**
 * Words in front of a command that leave it three descriptors. The masters of all open terminals are descriptors of the
 * node, node-pty lets children inherit them, and whoever holds one types into somebody else's terminal. `-p`: no file
 * and no function that a variable names is read.
 */
export const closeDescriptors: readonly string[] = [
  '/bin/bash',
  '-p',
  '-c',
  'for fd in /proc/self/fd/*; do fd=${fd##*/}; ((fd < 3)) || exec {fd}>&-; done; exec -- "$@"',
  'gatehouse',
];

/** Names as useradd takes them; anything else is looked up nowhere. */
const namePattern = /^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/;

/**
 * The user of a login. As root any user of the machine; else only the agent's own, and that only where the agent's
 * configuration accepts that shells could read what the agent holds.
 * @throws SSH_NODE_REFUSED
 */
export async function findOsUser(
  login: string,
  rules: { readonly sameUserAccepted: boolean },
): Promise<OsUser> {
  const own = userInfo();
  if (own.uid !== 0) {
    if (login !== own.username) throw refused(`only the login ${own.username} is possible here`);
    if (!rules.sameUserAccepted) {
      throw refused('its agent holds secrets under the same user (same_user: accepted permits it)');
    }
  }
  if (!(await isReachable(closeDescriptors[0] ?? ''))) throw refused('its host has no /bin/bash');
  const entry = await lookUp(login);
  if (entry === undefined) throw refused(`there is no user ${login}`);
  const home = (await isReachable(entry.home)) ? entry.home : '/';
  return { ...entry, home, become: own.uid === 0 ? becomeWords(entry) : [] };
}

function becomeWords(entry: { uid: number; gid: number }): string[] {
  return [
    'setpriv',
    '--reuid',
    String(entry.uid),
    '--regid',
    String(entry.gid),
    '--init-groups',
    '--',
  ];
}

interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  readonly shell: string;
}

async function lookUp(login: string): Promise<PasswdEntry | undefined> {
  if (!namePattern.test(login)) return undefined;
  const lines = (await getent(login)).split('\n');
  return lines.map(parsePasswdLine).find((entry) => entry?.name === login);
}

/** @see passwd(5) */
function parsePasswdLine(line: string): PasswdEntry | undefined {
  const match = /^([^:]+):[^:]*:(\d+):(\d+):[^:]*:([^:]*):([^:]*)$/.exec(line);
  if (match === null) return undefined;
  const [, name = '', uid, gid, home, shell] = match;
  return { name, uid: Number(uid), gid: Number(gid), home: home || '/', shell: shell || '/bin/sh' };
}

/** By the name service where there is `getent`, else from the file alone. */
async function getent(login: string): Promise<string> {
  try {
    const { stdout } = await execFileAsync('getent', ['passwd', login], { timeout: 5000 });
    return stdout;
  } catch {
    return readFile('/etc/passwd', 'utf8').catch(() => '');
  }
}

async function isReachable(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

const loginShells = new Set(['sh', 'bash', 'dash', 'zsh', 'ksh', 'ash', 'fish']);

/** The words that start an interactive login shell. */
export function loginShellWords(user: OsUser): string[] {
  return loginShells.has(basename(user.shell)) ? [user.shell, '-l'] : [user.shell];
}

/**
 * The words that run one command line in the user's shell. Bytes that are no UTF-8 are restored by the shell; a NUL,
 * which it would leave out, stays, and nothing starts.
 */
export function commandWords(user: OsUser, command: Buffer): string[] {
  const text = command.toString('utf8');
  if (command.includes(0) || Buffer.from(text).equals(command)) return [user.shell, '-c', text];
  const octal = [...command].map((byte) => `\\0${byte.toString(8).padStart(3, '0')}`).join('');
  return [user.shell, '-c', `eval "$(printf '%b' '${octal}')"`];
}

function refused(why: string): Error {
  return sshError('SSH_NODE_REFUSED', { details: { why }, reason: 'login_refused' });
}
