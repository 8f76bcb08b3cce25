/** For tests of this package and of others: a real sshd that trusts `target_ssh`, and decoders for the fuzzer. */
import { spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import {
  encodeOpensshPrivateKey,
  formatSshPublicKey,
  generateKeyPair,
  sshPublicKey,
} from '@gatehouse/identity';
import type { FuzzTarget } from '@gatehouse/identity/testing';

import { encodeFields, encodeMessage } from './wire/codec.js';
import { parseTransferCommand } from './wire/command.js';
import {
  parseChannelConfirmation,
  parseChannelOpen,
  parseChannelRequest,
  parseGlobalRequest,
} from './wire/connection.js';
import { escapeBytes } from './wire/escape.js';
import { parseSftpReply, parseSftpRequest, SftpSplitter } from './wire/sftp.js';

export {
  loginRaw,
  RawConnection,
  type RawAnswer,
  type RawChannel,
  type RawCredential,
  type RawRequest,
} from './testing-client.js';
export { encodeFields, encodeMessage, WireReader } from './wire/codec.js';
export { messageType } from './wire/message-types.js';

/** Where Debian and its kin put the server; it wants to be called by its full path. */
const sshdPath = '/usr/sbin/sshd';

export interface SshdOptions {
  /** For its keys, configuration and log; must exist. */
  readonly dir: string;
  /** Public key lines of `target_ssh`, as `formatSshPublicKey` writes them. */
  readonly targetAuthorities: readonly string[];
  /** A host key with its certificate; without it a plain Ed25519 key is made. */
  readonly host?: { readonly privateKeyPem: string; readonly certificate: Buffer };
  /** Further lines of sshd_config. */
  readonly config?: readonly string[];
  /** A port to use again; 0 or undefined: any free one. */
  readonly port?: number;
}

export interface RunningSshd extends AsyncDisposable {
  readonly port: number;
  /** `127.0.0.1:port`. */
  readonly address: string;
  readonly pid: number;
  /** The plain host key, wire blob. */
  readonly hostKey: Buffer;
  /** Everything it has logged (VERBOSE). */
  log(): string;
}

/** Starts a real sshd on loopback. Only certificates of `targetAuthorities` whose principal is the login get in. */
export async function startSshd(options: SshdOptions): Promise<RunningSshd> {
  const { dir } = options;
  await mkdir(dir, { recursive: true });
  const privateKeyPem = options.host?.privateKeyPem ?? generateKeyPair('ed25519').privateKeyPem;
  const hostKey = sshPublicKey(privateKeyPem);
  await writeFile(join(dir, 'host'), encodeOpensshPrivateKey(privateKeyPem, 'host'), {
    mode: 0o600,
  });
  await writeFile(join(dir, 'host.pub'), `${formatSshPublicKey(hostKey, 'host')}\n`);
  if (options.host) {
    await writeFile(
      join(dir, 'host-cert.pub'),
      `${formatSshPublicKey(options.host.certificate, 'host')}\n`,
    );
  }
  await writeFile(
    join(dir, 'ca.pub'),
    options.targetAuthorities.map((line) => `${line}\n`).join(''),
  );
  const port = options.port || (await freePort());
  await writeFile(join(dir, 'sshd_config'), configOf(options, port));
  await mkdir('/run/sshd', { recursive: true }).catch(() => undefined);
  const child = spawn(sshdPath, ['-D', '-e', '-f', join(dir, 'sshd_config')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  await waitForPort(
    port,
    () => child.exitCode,
    () => log,
  );
  return {
    port,
    address: `127.0.0.1:${port}`,
    pid: child.pid ?? 0,
    hostKey,
    log: () => log,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      await exited;
    },
  };
}

function configOf(options: SshdOptions, port: number): string {
  const { dir } = options;
  return [
    `ListenAddress 127.0.0.1:${port}`,
    `HostKey ${join(dir, 'host')}`,
    ...(options.host ? [`HostCertificate ${join(dir, 'host-cert.pub')}`] : []),
    `TrustedUserCAKeys ${join(dir, 'ca.pub')}`,
    `PidFile ${join(dir, 'sshd.pid')}`,
    ...(options.config ?? []),
    'AuthorizedKeysFile none',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'UsePAM no',
    'PermitRootLogin yes',
    'StrictModes no',
    'LogLevel VERBOSE',
    'PrintMotd no',
    'Subsystem sftp internal-sftp',
    '',
  ].join('\n');
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (typeof address !== 'object' || address === null) throw new Error('no port');
  return address.port;
}

async function waitForPort(
  port: number,
  exitCode: () => number | null,
  log: () => string,
): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if (exitCode() !== null) throw new Error(`sshd ended: ${log()}`);
    if (await isOpen(port)) return;
    await sleep(25);
  }
  throw new Error('sshd does not listen');
}

async function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** Every decoder of this package that reads what the network sends. */
export const fuzzTargets: readonly FuzzTarget[] = [
  {
    name: 'ssh channel open',
    seeds: [
      encodeMessage(90, 'session', 0, 2_097_152, 32_768),
      encodeMessage(90, 'direct-tcpip', 1, 2_097_152, 32_768, 'localhost', 80, '127.0.0.1', 4000),
      encodeMessage(90, 'direct-streamlocal@openssh.com', 1, 1, 1, '/run/x', '', 0),
    ],
    run: (input) => void parseChannelOpen(input),
  },
  {
    name: 'ssh channel confirmation',
    seeds: [encodeMessage(91, 0, 0, 2_097_152, 32_768)],
    run: (input) => void parseChannelConfirmation(input),
  },
  {
    name: 'ssh channel request',
    seeds: [
      encodeMessage(98, 0, 'pty-req', true, 'xterm', 80, 24, 0, 0, Buffer.of(0)),
      encodeMessage(98, 0, 'env', false, 'LANG', 'C'),
      encodeMessage(98, 0, 'exec', true, 'ls -l'),
      encodeMessage(98, 0, 'exit-signal', false, 'KILL', false, '', ''),
    ],
    run: (input) => void parseChannelRequest(input),
  },
  {
    name: 'ssh global request',
    seeds: [
      encodeMessage(80, 'tcpip-forward', true, 'localhost', 0),
      encodeMessage(80, 'keepalive@openssh.com', true),
    ],
    run: (input) => void parseGlobalRequest(input),
  },
  {
    name: 'ssh command',
    seeds: [
      'scp -t /tmp/x',
      'rsync --server --sender -vlogDtpre.iLsfxCIvu . "a b"',
      "sh -c 'a\\b'",
    ].map((text) => Buffer.from(text)),
    run: (input) => void [parseTransferCommand(input), escapeBytes(input)],
  },
  {
    name: 'sftp requests',
    seeds: [
      sftp(1, 3),
      sftp(3, 1, '/etc/hostname', 1, 0),
      sftp(18, 2, '/a', '/b'),
      sftp(200, 3, 'posix-rename@openssh.com', '/a', '/b'),
    ],
    run: (input) => feedSftp(input, parseSftpRequest),
  },
  {
    name: 'sftp replies',
    seeds: [
      sftp(101, 1, 0, '', ''),
      sftp(102, 1, 'h'),
      sftp(103, 1, 'data'),
      sftp(104, 1, 1, '/x', '/x', 0),
    ],
    run: (input) => feedSftp(input, parseSftpReply),
  },
];

function sftp(type: number, ...fields: readonly (number | string)[]): Buffer {
  const body = Buffer.concat([Buffer.of(type), encodeFields(...fields)]);
  return Buffer.concat([encodeFields(body.length), body]);
}

function feedSftp(input: Buffer, parse: (packet: Buffer) => unknown): void {
  const splitter = new SftpSplitter(() => 4096);
  for (const piece of splitter.feed(input)) if (piece.kind === 'head') parse(piece.bytes);
}
