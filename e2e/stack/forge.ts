/** Makes certificates with a running cluster's own authorities: right ones, and ones that must be refused. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';

import { borrowAuthorities } from '@gatehouse/auth-service/testing';
import {
  derToPem,
  encodeOpensshPrivateKey,
  formatSshPublicKey,
  sshPublicKeyFromSpki,
} from '@gatehouse/identity';
import {
  createTestAuthorities,
  issueTestUser,
  type TestAuthorities,
  type TestUser,
  type TestUserOptions,
} from '@gatehouse/identity/testing';

import type { Home } from './home.js';
import { run, type RunResult } from './run.js';

export interface Forger {
  readonly authorities: TestAuthorities;
  /** A person's certificates, by the cluster's own CA unless others are given. */
  user(options: TestUserOptions, by?: TestAuthorities): Promise<TestUser>;
  /** Stock ssh with exactly this certificate, straight at the port: `ssh -p PORT login@target@localhost`. */
  ssh(
    given: { privateKeyPem: string; sshCertificate: Buffer },
    destination: string,
    command?: string,
  ): Promise<RunResult>;
  /** The preface's answer for exactly this certificate on a `gatehouse-ssh` connection. */
  preface(
    given: { privateKeyPem: string; tlsCertificate: Buffer; chain?: Buffer },
    target: string,
    login: string,
  ): Promise<{ session?: string; error?: { code: string; message: string } }>;
}

export async function createForger(home: Home): Promise<Forger> {
  const borrowed = await borrowAuthorities({
    socketPath: join(home.dataDir, 'database', '.s.PGSQL.5432'),
    kekFile: join(home.dataDir, 'secrets', 'kek'),
    clusterName: home.ready.clusterName,
  });
  const strangers = await createTestAuthorities(home.ready.clusterName);
  const userSsh = borrowed.sshSigner('user_ssh');
  const hostSsh = borrowed.sshSigner('host_ssh');
  const authorities: TestAuthorities = {
    ...strangers,
    userSsh: {
      ...strangers.userSsh,
      signer: userSsh,
      publicKey: sshPublicKeyFromSpki(userSsh.publicKeySpki),
    },
    hostSsh: {
      ...strangers.hostSsh,
      signer: hostSsh,
      publicKey: sshPublicKeyFromSpki(hostSsh.publicKeySpki),
    },
    userTls: { ...strangers.userTls, ...borrowed.tlsAuthority('user_tls') },
    hostTls: { ...strangers.hostTls, ...borrowed.tlsAuthority('host_tls') },
  };
  const port = home.ready.proxyAddr.split(':')[1] ?? '';
  const known = join(home.dir, 'forge_known_hosts');
  writeFileSync(known, `@cert-authority * ${borrowed.trust().bundle.hostSsh[0] ?? ''}\n`);
  let count = 0;
  return {
    authorities,
    user: async (options, by = authorities) => issueTestUser(by, options),
    async ssh(given, destination, command = 'true') {
      count += 1;
      const file = join(home.folder('forged'), `key-${count}`);
      writeFileSync(file, encodeOpensshPrivateKey(given.privateKeyPem, 'forged'), { mode: 0o600 });
      writeFileSync(`${file}-cert.pub`, `${formatSshPublicKey(given.sshCertificate, 'forged')}\n`);
      const options = [
        'IdentitiesOnly=yes',
        `UserKnownHostsFile=${known}`,
        'GlobalKnownHostsFile=/dev/null',
        'StrictHostKeyChecking=yes',
        'BatchMode=yes',
        `CertificateFile=${file}-cert.pub`,
      ];
      return run(
        'ssh',
        [
          '-F',
          '/dev/null',
          '-p',
          port,
          '-i',
          file,
          ...options.flatMap((option) => ['-o', option]),
          `${destination}@localhost`,
          command,
        ],
        { env: { SSH_AUTH_SOCK: '' } },
      );
    },
    async preface(given, target, login) {
      const chain = given.chain === undefined ? '' : derToPem(given.chain, 'CERTIFICATE');
      const socket = connect({
        host: '127.0.0.1',
        port: Number(port),
        servername: 'localhost',
        ALPNProtocols: ['gatehouse-ssh'],
        key: given.privateKeyPem,
        cert: derToPem(given.tlsCertificate, 'CERTIFICATE') + chain,
        rejectUnauthorized: false,
      });
      const body = Buffer.from(JSON.stringify({ v: 1, target, login, client: 'test' }));
      const head = Buffer.alloc(2);
      head.writeUInt16BE(body.length, 0);
      socket.write(Buffer.concat([head, body]));
      const got: Buffer[] = [];
      try {
        for await (const chunk of socket) {
          got.push(chunk as Buffer);
          const bytes = Buffer.concat(got);
          if (bytes.length >= 2 && bytes.length >= 2 + bytes.readUInt16BE(0)) {
            return JSON.parse(bytes.subarray(2, 2 + bytes.readUInt16BE(0)).toString()) as {
              session?: string;
            };
          }
        }
      } finally {
        socket.destroy();
      }
      throw new Error('closed without an answer');
    },
  };
}
