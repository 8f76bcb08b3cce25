/**
 * The SSH facet alone, as a process of its own: a TCP listener, the phases of the host in their shortest form, and dials
 * straight to the target. No TLS, no tunnel, no agent, no spool; recordings go to a file without fsync.
 *   relay-process.ts DIR IS_RECORDING    says {port, …} on stdout, reads {address, hostKey} from stdin, ends with it
 */
import { createWriteStream, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';

import {
  encodeOpensshPrivateKey,
  formatSshPublicKey,
  generateKeyPair,
  issueSshCertificate,
  sshPublicKey,
  verifySshUserCertificate,
  verifySshUserProof,
} from '@gatehouse/identity';
import { createTestAuthorities, issueTestHost, issueTestUser } from '@gatehouse/identity/testing';
import { systemClock } from '@gatehouse/kit/clock';
import { toGatehouseError } from '@gatehouse/kit/errors';
import { createId } from '@gatehouse/kit/ids';
import { tuneGarbageCollection } from '@gatehouse/kit/lifecycle';
import { createLogger } from '@gatehouse/kit/log';
import { defaultRoleOptions } from '@gatehouse/policy';
import {
  served,
  type ProxyCredentials,
  type Recorder,
  type Session,
} from '@gatehouse/protocol-api';
import { createProxy } from '@gatehouse/protocol-ssh/proxy';
import { createRecordingWriter } from '@gatehouse/recording';

import { createProxyServices } from '../proxy-services.js';

tuneGarbageCollection();
const [dir = '', isRecordingText] = process.argv.slice(2);
const isRecording = isRecordingText === 'true';
const logger = createLogger({ name: 'relay', level: 'silent' });
const authorities = await createTestAuthorities('bench');
const user = await issueTestUser(authorities, { user: 'alice' });
const own = await issueTestHost(authorities, ['127.0.0.1']);
let target: { address: string; hostKey: string } | undefined;

const targetCertificates = new Map<string, ReturnType<ProxyCredentials['targetCertificate']>>();
const credentials: ProxyCredentials = {
  verifySshUserCertificate: async (blob, clientAddress) =>
    verifySshUserCertificate(blob, {
      authorities: [authorities.userSsh.publicKey],
      nowMs: Date.now(),
      clientAddress,
    }),
  hostCertificate: async () => own,
  async targetCertificate(proof, login) {
    const { identity } = verifySshUserProof(proof, {
      authorities: [authorities.userSsh.publicKey],
      nowMs: Date.now(),
    });
    const key = `${identity.loginId} ${login}`;
    const cached = targetCertificates.get(key) ?? issueTargetCertificate(login);
    targetCertificates.set(key, cached);
    return cached;
  },
  hostAuthorities: () => [authorities.hostSsh.publicKey],
};

async function issueTargetCertificate(login: string) {
  const { privateKeyPem } = generateKeyPair('ed25519');
  const validBeforeMs = Date.now() + 3_600_000;
  const certificate = await issueSshCertificate({
    type: 'user',
    publicKey: sshPublicKey(privateKeyPem),
    serial: 1n,
    keyId: 'bench',
    principals: [login],
    validAfterMs: Date.now() - 120_000,
    validBeforeMs,
    extensions: { 'permit-pty': '', 'permit-port-forwarding': '' },
    signer: authorities.targetSsh.signer,
  });
  return { privateKeyPem, certificate, validBeforeMs };
}

const proxy = createProxy(createProxyServices(credentials));

async function serve(client: Socket): Promise<void> {
  const sessionId = createId('ses');
  let opening;
  try {
    const opened = await proxy.open(client, {
      sessionId,
      clientAddress: `127.0.0.1:${client.remotePort}`,
      transport: 'clear',
      signal: AbortSignal.timeout(30_000),
      identify: notAsked,
      startTls: notAsked,
      accept: (nested) => nested.destroy(),
      serving: () => undefined,
      report: () => undefined,
    });
    if (opened === served) return;
    opening = opened;
    await proxy.serve(createSession(sessionId, opening), opening);
  } catch (thrown) {
    await proxy.refuse(client, opening, toGatehouseError(thrown));
  } finally {
    client.destroy();
  }
}

function createSession(
  id: Session['id'],
  opening: Pick<Session, 'identity' | 'principal'>,
): Session<{ address: string; host_key: string }> {
  const { address = '', hostKey = '' } = target ?? {};
  return {
    id,
    identity: opening.identity,
    principal: opening.principal,
    target: {
      kind: 'node',
      name: 'bench',
      labels: {},
      protocol: 'ssh',
      spec: { address, host_key: hostKey },
      agent: 'bench',
    },
    options: { ...defaultRoleOptions, portForwarding: 'both' },
    statements: { allow: [], deny: [] },
    clientAddress: '127.0.0.1',
    logger,
    signal: new AbortController().signal,
    cut: new AbortController().signal,
    dial: () => dial(address),
    established: () => undefined,
    pace: () => undefined,
    acknowledged: async () => undefined,
    decide: () => ({ allowed: true }),
    perform: async (_intent, effect) => (await effect()).value,
    announce: notAsked,
    emit: () => undefined,
    droppedEvents: 0,
    record: (channel) => (isRecording ? record(channel) : silentRecorder),
    activity: () => undefined,
  };
}

function notAsked(): never {
  throw new Error('SSH asks for it nowhere');
}

async function dial(address: string): Promise<Duplex> {
  const [host = '', port] = address.split(':');
  const socket = connect({ host, port: Number(port), noDelay: true });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  return socket;
}

const silentRecorder: Recorder = {
  recordingId: createId('rec'),
  output: () => undefined,
  input: () => undefined,
  resize: () => undefined,
  overloaded: false,
  drained: async () => undefined,
  end: async () => undefined,
};

function record(header: { columns: number; rows: number; command?: string }): Recorder {
  const recordingId = createId('rec');
  const file = createWriteStream(join(dir, recordingId));
  return createRecordingWriter({
    recordingId,
    clock: systemClock,
    header,
    sink: (chunk) =>
      new Promise((resolve, reject) => {
        file.write(chunk.content, (error) => (error ? reject(error) : resolve()));
      }),
  });
}

const key = join(dir, 'key');
const knownHosts = join(dir, 'known_hosts');
writeFileSync(key, encodeOpensshPrivateKey(user.privateKeyPem, 'bench'), { mode: 0o600 });
writeFileSync(`${key}-cert.pub`, `${formatSshPublicKey(user.sshCertificate)}\n`);
writeFileSync(
  knownHosts,
  `@cert-authority * ${formatSshPublicKey(authorities.hostSsh.publicKey)}\n`,
);

const server = createServer({ noDelay: true }, (client) => {
  client.on('error', () => client.destroy());
  serve(client).catch(() => client.destroy());
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const { port } = server.address() as AddressInfo;
const targetAuthority = formatSshPublicKey(authorities.targetSsh.publicKey);
process.stdout.write(`${JSON.stringify({ port, targetAuthority, key, knownHosts })}\n`);

const commands = createInterface({ input: process.stdin });
commands.on('line', (line) => {
  target = JSON.parse(line) as typeof target;
});
commands.on('close', () => process.exit(0));
