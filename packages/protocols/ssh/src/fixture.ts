/** For the matrix: a real sshd, and the stock client with a terminal. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

import { formatSshPublicKey } from '@gatehouse/identity';
import type {
  MatrixConnection,
  MatrixPerson,
  ProtocolFixture,
} from '@gatehouse/protocol-api/testing';

import { startSshd } from './testing.js';

const login = 'root';

async function connect(person: MatrixPerson, target: string): Promise<MatrixConnection> {
  const { ssh, port, knownHostsFile } = person;
  const options = [
    `UserKnownHostsFile=${knownHostsFile}`,
    'GlobalKnownHostsFile=/dev/null',
    'StrictHostKeyChecking=yes',
    'BatchMode=yes',
    'IdentitiesOnly=yes',
    ...(ssh === undefined
      ? ['IdentityFile=none']
      : [`IdentityFile=${ssh.keyFile}`, `CertificateFile=${ssh.certificateFile}`]),
  ].flatMap((option) => ['-o', option]);
  const program = `printf 'up\\n'; stty -echo; while read -r line; do printf '%s\\n' "$line"; done`;
  const child = spawn(
    'ssh',
    [
      '-F',
      '/dev/null',
      '-tt',
      '-p',
      String(port),
      ...options,
      `${login}@${target}@localhost`,
      program,
    ],
    {
      env: { PATH: '/usr/bin:/bin' },
    },
  );
  let out = '';
  let told = '';
  child.stdout.on('data', (chunk: Buffer) => (out += String(chunk)));
  child.stderr.on('data', (chunk: Buffer) => (told += String(chunk)));
  child.stdin.on('error', () => undefined);
  const ended = once(child, 'close').then(() => told);
  const waitFor = async (text: string) => {
    while (!out.includes(text)) {
      const isOver = await Promise.race([
        ended.then(() => true),
        once(child.stdout, 'data').then(() => false),
      ]);
      if (isOver && !out.includes(text)) throw new Error(told);
    }
  };
  await waitFor('up');
  return {
    ended,
    async say(text) {
      child.stdin.write(`${text}\n`);
      await waitFor(text);
      return text;
    },
    async [Symbol.asyncDispose]() {
      child.kill();
      await ended;
    },
  };
}

export const fixture: ProtocolFixture = {
  kind: 'node',
  labelsField: 'node_labels',
  allow: { logins: [login] },
  isRecorded: true,
  hasWords: true,
  async startTarget({ dir, targetAuthorities }) {
    const sshd = await startSshd({ dir, targetAuthorities });
    let isUp = true;
    const stop = async () => {
      if (isUp) await sshd[Symbol.asyncDispose]();
      isUp = false;
    };
    const spec = { address: sshd.address, host_key: formatSshPublicKey(sshd.hostKey).trim() };
    return { spec, stop, [Symbol.asyncDispose]: stop };
  },
  connect,
};
