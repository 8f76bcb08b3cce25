/** What every row shares: a real sshd as the target, a person's key for OpenSSH's own rows, and one ssh configuration. */
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';

import {
  createSigner,
  encodeOpensshPrivateKey,
  formatSshPublicKey,
  generateKeyPair,
  issueSshCertificate,
  sshPublicKey,
} from '@gatehouse/identity';
import { startSshd, type RunningSshd } from '@gatehouse/protocol-ssh/testing';

/** The same key exchange and cipher on every leg of every row: otherwise rows differ by what they leave out. */
export const pinned = ['KexAlgorithms curve25519-sha256', 'Ciphers aes128-gcm@openssh.com'];

/** Who logs in at the target: rows must not differ in the shell that runs there either. */
export const login = userInfo().username;

export interface Ground extends AsyncDisposable {
  readonly dir: string;
  /** Random bytes, `--bulk-mib` of them. */
  readonly bulkFile: string;
  /** Lines as a log has them, for terminals; `textMib` of them. */
  readonly textFile: string;
  readonly textMib: number;
  /** Options of ssh_config for OpenSSH's own rows. */
  readonly directIdentity: readonly string[];
  /** Starts an sshd that lets in what OpenSSH's rows use, and holders of certificates by `authorities`. */
  sshd(name: string, authorities: readonly string[]): Promise<RunningSshd>;
}

export async function prepareGround(bulkMib: number): Promise<Ground> {
  const dir = mkdtempSync(join(tmpdir(), 'gatehouse-bench-'));
  const authority = generateKeyPair('ed25519').privateKeyPem;
  const directIdentity = await writePerson(dir, authority);
  const bulkFile = join(dir, 'bulk');
  fill(bulkFile, bulkMib, () => randomBytes(1 << 20));
  const textMib = Math.max(1, Math.round(bulkMib / 4));
  const textFile = join(dir, 'text');
  fill(textFile, textMib, createLogLines());
  const own = formatSshPublicKey(sshPublicKey(authority));
  return {
    dir,
    bulkFile,
    textFile,
    textMib,
    directIdentity,
    async sshd(name, authorities) {
      const sshd = await startSshd({
        dir: join(dir, name),
        targetAuthorities: [own, ...authorities],
        config: [...pinned, 'LogLevel ERROR', 'MaxStartups 500', 'MaxSessions 500'],
      });
      writeFileSync(
        join(dir, 'known_hosts'),
        `[127.0.0.1]:${sshd.port} ${formatSshPublicKey(sshd.hostKey)}\n`,
        { flag: 'a' },
      );
      return sshd;
    },
    async [Symbol.asyncDispose]() {
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function writePerson(dir: string, authority: string): Promise<string[]> {
  const { privateKeyPem } = generateKeyPair('ed25519');
  const certificate = await issueSshCertificate({
    type: 'user',
    publicKey: sshPublicKey(privateKeyPem),
    serial: 1n,
    keyId: 'bench',
    principals: [login],
    validAfterMs: Date.now() - 60_000,
    validBeforeMs: Date.now() + 86_400_000,
    extensions: { 'permit-pty': '', 'permit-port-forwarding': '' },
    signer: createSigner(authority),
  });
  mkdirSync(join(dir, 'person'));
  const key = join(dir, 'person/key');
  writeFileSync(key, encodeOpensshPrivateKey(privateKeyPem, 'bench'), { mode: 0o600 });
  chmodSync(key, 0o600);
  writeFileSync(`${key}-cert.pub`, `${formatSshPublicKey(certificate)}\n`);
  return [
    `IdentityFile ${key}`,
    `CertificateFile ${key}-cert.pub`,
    `UserKnownHostsFile ${join(dir, 'known_hosts')}`,
  ];
}

function fill(file: string, mib: number, block: () => Buffer): void {
  const handle = openSync(file, 'w');
  for (let at = 0; at < mib; at += 1) writeSync(handle, block());
  closeSync(handle);
}

/** Lines that keep a person's own ssh settings out of every row. */
export const quiet = [
  ...pinned,
  'IdentitiesOnly yes',
  'IdentityAgent none',
  'GlobalKnownHostsFile none',
  'StrictHostKeyChecking yes',
  'BatchMode yes',
  'ControlMaster no',
  'ControlPath none',
  'LogLevel ERROR',
];

/** Blocks of 1 MiB that compress about as well as a log does. */
function createLogLines(): () => Buffer {
  let at = 0;
  return () => {
    const lines: string[] = [];
    for (let size = 0; size < 1 << 20; at += 1) {
      const time = new Date(1_764_000_000_000 + at * 37).toISOString();
      const noise = randomBytes(6).toString('hex');
      const line = `${time} web-1 app[${1000 + (at % 7)}]: request ${noise} GET /items/${at} took ${at % 911} ms\n`;
      lines.push(line);
      size += line.length;
    }
    return Buffer.from(lines.join('')).subarray(0, 1 << 20);
  };
}
