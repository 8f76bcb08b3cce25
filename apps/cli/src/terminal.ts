/** Questions on a terminal. Nothing is asked where stdin is not one: what is missing is an error that names the flag. */
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';

import type { Environment } from './environment.js';
import { cliError, usageError } from './errors.js';
import { readNamedFile } from './profile/files.js';

type Terminal = Pick<Environment, 'stdin' | 'stderr'>;

/** Flags of scripts: whoever gives one of them is asked nothing, also on a terminal. */
export interface ScriptFlags {
  readonly 'password-file'?: string | undefined;
  readonly otp?: string | undefined;
}

/** Is there a person at the other end, who expects questions? */
export function canAsk(
  { stdin }: Pick<Environment, 'stdin'>,
  { 'password-file': passwordFile, otp }: ScriptFlags = {},
): boolean {
  return stdin.isTTY && passwordFile === undefined && otp === undefined;
}

/** Asks for a line; the answer is shown as it is typed. */
export async function askLine({ stdin, stderr }: Terminal, prompt: string): Promise<string> {
  stderr.write(prompt);
  const lines = createInterface({ input: stdin, crlfDelay: Infinity });
  try {
    return await new Promise<string>((resolve, reject) => {
      lines.once('line', resolve);
      lines.once('close', () => reject(usageError('nothing was entered')));
    });
  } finally {
    lines.close();
  }
}

/** Asks for a line without showing it. Ctrl-C ends the program as anywhere else. */
export async function askHidden({ stdin, stderr }: Terminal, prompt: string): Promise<string> {
  stderr.write(prompt);
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  // With `terminal`, readline turns the terminal's own echo off and writes its echo to `output`, which drops it.
  const lines = createInterface({ input: stdin, output: silent, terminal: true });
  try {
    return await new Promise<string>((resolve, reject) => {
      lines.once('line', resolve);
      lines.once('close', () => reject(usageError('nothing was entered')));
      lines.once('SIGINT', () => {
        lines.close();
        process.kill(process.pid, 'SIGINT');
      });
    });
  } finally {
    lines.close();
    stderr.write('\n');
  }
}

/** The password from `--password-file`, else asked for. @throws OPTION_MISSING, FILE_UNREADABLE */
export async function obtainPassword(
  environment: Environment,
  flags: ScriptFlags,
  ask: (environment: Environment) => Promise<string>,
): Promise<string> {
  const file = flags['password-file'];
  if (file !== undefined) return readNamedFile(file).replace(/\r?\n$/, '');
  if (canAsk(environment, flags)) return ask(environment);
  throw cliError('OPTION_MISSING', {
    details: { what: 'the password', flag: '--password-file FILE' },
  });
}

/**
 * On a terminal, asks before something is destroyed, unless `--yes` was given. Elsewhere nothing asks: the command
 * itself is the word of whoever wrote the script.
 * @throws NOT_CONFIRMED
 */
export async function confirm(environment: Environment, what: string, yes: boolean): Promise<void> {
  if (yes || !canAsk(environment)) return;
  const answer = await askLine(environment, `${what}? [y/N] `);
  if (!/^y(es)?$/i.test(answer.trim())) throw cliError('NOT_CONFIRMED', { details: { what } });
}
