import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { chown, readlink } from 'node:fs/promises';
import { constants } from 'node:os';

import type { Logger } from '@gatehouse/kit/log';
/** Programs of a channel: with pipes, or on a terminal. Both end the channel with exit code or signal. */
import { spawn as spawnPty, type IPty } from '@lydell/node-pty';

import type { ChannelStream } from '../connection/channel-stream.js';
import { closeDescriptors, type OsUser } from './os-user.js';
import { isTerminalOpen, TerminalInput } from './terminal-input.js';

/** What runs in a channel. */
export interface RunningProgram {
  resize(columns: number, rows: number): void;
  /** `name` as in RFC 4254 §6.10, without SIG. */
  signal(name: string): void;
}

export interface ProgramStart {
  readonly words: readonly string[];
  readonly user: OsUser;
  readonly env: Readonly<Record<string, string>>;
  readonly stream: ChannelStream;
  readonly logger: Logger;
}

export interface Terminal {
  columns: number;
  rows: number;
  readonly term: string;
}

/** Runs a program, on a terminal if there is one. What cannot be started ends its channel, and nothing else. */
export function runProgram(start: ProgramStart, terminal: Terminal | undefined): RunningProgram {
  try {
    // A terminal's program would get what is in front of the NUL.
    if (start.words.some((word) => word.includes('\0'))) throw new Error('NUL in a command');
    return terminal === undefined ? runWithPipes(start) : runOnTerminal(start, terminal);
  } catch (thrown) {
    start.logger.warn({ err: thrown }, 'program did not start');
    start.stream.resume();
    start.stream.stderr.write('the command could not be started\n');
    endChannel(start.stream, { code: 127 });
    return { resize: () => undefined, signal: () => undefined };
  }
}

function commandOf({ user, words }: ProgramStart): [string, ...string[]] {
  const [file = '', ...args] = [...closeDescriptors, ...user.become, ...words];
  return [file, ...args];
}

/** Runs a program whose output is stdout and stderr apart. */
function runWithPipes(start: ProgramStart): RunningProgram {
  const [file, ...args] = commandOf(start);
  // Its own session and process group, so that a hang-up reaches all it has started.
  const child = spawn(file, args, { cwd: start.user.home, env: start.env, detached: true });
  const { stream } = start;
  child.once('error', (error) => {
    start.logger.warn({ err: error }, 'program did not start');
    endChannel(stream, { code: 127 });
  });
  connectPipes(child, stream);
  child.once('close', (code, signal) => {
    endChannel(stream, signal === null ? { code: code ?? 255 } : { signal });
  });
  // Behind its end the number may be another process's.
  const kill = (signal: string) => {
    if (child.exitCode === null && child.signalCode === null) killGroup(child.pid, signal);
  };
  stream.once('hangup', () => kill('SIGHUP'));
  return { resize: () => undefined, signal: (name) => kill(`SIG${name}`) };
}

function connectPipes(child: ChildProcessWithoutNullStreams, stream: ChannelStream): void {
  child.stdout.pipe(stream, { end: false });
  child.stderr.pipe(stream.stderr, { end: false });
  stream.pipe(child.stdin);
  // A program that reads no more: what still comes is thrown away, so that the client is not stuck.
  child.stdin.on('error', () => {
    stream.unpipe(child.stdin);
    stream.resume();
  });
}

/** Runs a program on a terminal of its own. */
function runOnTerminal(start: ProgramStart, terminal: Terminal): RunningProgram {
  const [file, ...args] = commandOf(start);
  const { stream } = start;
  const pty = spawnPty(file, args, {
    name: terminal.term,
    cols: terminalSize(terminal.columns, 80),
    rows: terminalSize(terminal.rows, 24),
    cwd: start.user.home,
    env: { ...start.env, TERM: terminal.term },
    encoding: null,
  });
  giveTerminal(pty.pid, start.user);
  pty.onData((data: string | Uint8Array) => {
    // What the channel cannot take at once stops the program by way of its terminal.
    if (stream.write(data)) return;
    pty.pause();
    stream.once('drain', () => pty.resume());
  });
  const input = connectInput(pty, stream);
  let hasExited = false;
  pty.onExit(({ exitCode, signal }) => {
    hasExited = true;
    input.destroy();
    endChannel(stream, signal ? { signal: signalName(signal) } : { code: exitCode });
  });
  const kill = (signal: string) => {
    if (!hasExited) killGroup(pty.pid, signal);
  };
  stream.once('hangup', () => {
    input.destroy();
    kill('SIGHUP');
  });
  return {
    resize: (columns, rows) => {
      if (isTerminalOpen(pty)) pty.resize(terminalSize(columns, 80), terminalSize(rows, 24));
    },
    signal: (name) => kill(`SIG${name}`),
  };
}

function connectInput(pty: IPty, stream: ChannelStream): TerminalInput {
  const input = new TerminalInput(pty);
  stream.pipe(input);
  // EIO, where the terminal is gone.
  input.on('error', () => undefined);
  // Nobody reads any more: what still comes is thrown away, so that the client is not stuck.
  input.once('close', () => {
    stream.unpipe(input);
    stream.resume();
  });
  return input;
}

function terminalSize(value: number, fallback: number): number {
  return value > 0 && value < 10_000 ? value : fallback;
}

/** The terminal belongs to its user, as after any login; where it cannot be given, it works all the same. */
function giveTerminal(pid: number, user: OsUser): void {
  if (user.become.length === 0) return;
  readlink(`/proc/${pid}/fd/0`)
    .then((path) => (path.startsWith('/dev/pts/') ? chown(path, user.uid, user.gid) : undefined))
    .catch(() => undefined);
}

/** Exit code or signal, EOF, CLOSE, in this order and after all output (RFC 4254 §6.10). */
function endChannel(stream: ChannelStream, exit: { code: number } | { signal: string }): void {
  stream.stderr.end(() => {
    stream.write(Buffer.alloc(0), () => {
      if ('code' in exit) stream.sendRequest('exit-status', exit.code);
      else stream.sendRequest('exit-signal', exit.signal.replace(/^SIG/, ''), false, '', '');
      stream.end();
      stream.close();
    });
  });
}

function signalName(number: number): string {
  const found = Object.entries(constants.signals).find(([, value]) => value === number);
  return found?.[0] ?? 'SIGTERM';
}

const allowedSignals: ReadonlySet<string> = new Set([
  'SIGABRT',
  'SIGALRM',
  'SIGFPE',
  'SIGHUP',
  'SIGILL',
  'SIGINT',
  'SIGKILL',
  'SIGPIPE',
  'SIGQUIT',
  'SIGSEGV',
  'SIGTERM',
  'SIGUSR1',
  'SIGUSR2',
]);

function isSignal(name: string): name is NodeJS.Signals {
  return allowedSignals.has(name);
}

function killGroup(pid: number | undefined, signal: string): void {
  if (pid === undefined || pid <= 1 || !isSignal(signal)) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // It has ended already.
  }
}
