/** A small host around the facet: TCP listener, the phases of D19, an audit log in memory, and dials to loopback. */
import { spawn } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

import {
  encodeOpensshPrivateKey,
  formatSshPublicKey,
  generateKeyPair,
  issueSshCertificate,
  sshPublicKey,
  verifySshUserCertificate,
  verifySshUserProof,
} from '@gatehouse/identity';
import {
  createTestAuthorities,
  issueTestHost,
  issueTestUser,
  type TestAuthorities,
  type TestUser,
} from '@gatehouse/identity/testing';
import { systemClock } from '@gatehouse/kit/clock';
import { toGatehouseError } from '@gatehouse/kit/errors';
import { createId } from '@gatehouse/kit/ids';
import { createLogger, type Logger } from '@gatehouse/kit/log';
import { defaultRoleOptions, type RoleOptions } from '@gatehouse/policy';
import {
  hostError,
  served,
  type Offer,
  type ProxyServices,
  type Recorder,
  type Session,
  type SessionEnd,
  type SessionEvent,
} from '@gatehouse/protocol-api';

import { createProxy } from '../src/proxy.js';
import type { SshSpec } from '../src/target.js';
import { startSshd, type RunningSshd, type SshdOptions } from '../src/testing.js';

export const logger: Logger = createLogger({
  name: 'test',
  level: process.env['SSH_TEST_DEBUG'] ? 'debug' : 'silent',
});

export const defaultOptions: RoleOptions = { ...defaultRoleOptions, portForwarding: 'both' };

function notAsked(): never {
  throw new Error('SSH asks for it nowhere');
}

export interface Recorded {
  columns: number;
  rows: number;
  command: string | undefined;
  output: string;
  resizes: string[];
  ended: boolean;
}

export interface HarnessTarget {
  readonly spec: SshSpec;
  dial(): Promise<Duplex>;
}

export interface Harness {
  readonly dir: string;
  readonly port: number;
  readonly authorities: TestAuthorities;
  readonly events: SessionEvent[];
  readonly recordings: Recorded[];
  readonly activity: { count: number };
  readonly targets: Map<string, HarnessTarget>;
  readonly options: { current: RoleOptions };
  readonly openTimeout: { ms: number };
  readonly allowed: (login: string, target: string) => boolean;
  /** Ends all sessions. */
  end(end: SessionEnd): void;
  /** Delays or fails `perform` before its effect. */
  audit: { beforeEffect: () => Promise<void> };
  recorder: { overloaded: boolean; drained: () => Promise<void> };
  files: UserFiles;
  user: TestUser;
  waitForEvent(type: string, count?: number): Promise<SessionEvent[]>;
  close(): Promise<void>;
}

export interface UserFiles {
  readonly key: string;
  readonly certificate: string;
  readonly knownHosts: string;
}

/** `127.0.0.1:port` of a target reached by plain TCP. */
export function dialTcp(address: string): () => Promise<Duplex> {
  return async () => {
    const [host, port] = address.split(':');
    const socket = connect({ host: host ?? '', port: Number(port), noDelay: true });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return socket;
  };
}

export async function startHarness(): Promise<Harness> {
  const dir = await mkdtemp(join(tmpdir(), 'gatehouse-ssh-'));
  const authorities = await createTestAuthorities('test');
  const user = await issueTestUser(authorities, { user: 'alice' });
  const files = await writeUserFiles(join(dir, 'alice'), authorities, user);
  const events: SessionEvent[] = [];
  const recordings: Recorded[] = [];
  const targets = new Map<string, HarnessTarget>();
  const options = { current: defaultOptions };
  const activity = { count: 0 };
  const openTimeout = { ms: 30_000 };
  const controllers = new Set<AbortController>();
  const sockets = new Set<Duplex>();
  const audit = { beforeEffect: async () => undefined as void };
  const recorder = { overloaded: false, drained: async () => undefined as void };
  const allowed = (login: string, target: string) => targets.has(target) && login !== 'forbidden';
  const services = await createServices(authorities);
  const proxy = createProxy(services);

  const serveConnection = async (
    client: Duplex,
    offer: Pick<Offer, 'clientAddress' | 'transport' | 'identity' | 'route' | 'signal'>,
  ) => {
    sockets.add(client);
    client.once('close', () => sockets.delete(client));
    let opening;
    try {
      const full: Offer = {
        ...offer,
        sessionId: createId('ses'),
        identify: notAsked,
        startTls: notAsked,
        serving: () => undefined,
        report: (event) => events.push(event),
        accept: (nested, route) => {
          serveInBackground(nested, {
            clientAddress: offer.clientAddress,
            transport: 'nested',
            identity: route.identity,
            route: { target: route.target },
            signal: AbortSignal.timeout(30_000),
          });
        },
      };
      const result = await proxy.open(client, full);
      if (result === served) return;
      opening = result;
      if (!allowed(opening.principal, opening.target)) {
        throw hostError('TARGET_HIDDEN', {
          details: { target: opening.target },
          reason: 'no_role',
        });
      }
    } catch (thrown) {
      const error = toGatehouseError(thrown);
      events.push({
        type: 'connection.refused',
        outcome: 'denied',
        reason: error.reason ?? error.message,
        data: { user: opening?.identity.user },
      });
      await proxy.refuse(client, opening, error);
      client.destroy();
      return;
    }
    const controller = new AbortController();
    controllers.add(controller);
    const target = targets.get(opening.target)!;
    const session: Session<SshSpec> = {
      id: createId('ses'),
      identity: opening.identity,
      target: {
        kind: 'node',
        name: opening.target,
        labels: {},
        protocol: 'ssh',
        spec: target.spec,
        agent: 'a1',
      },
      principal: opening.principal,
      options: options.current,
      statements: { allow: [], deny: [] },
      clientAddress: offer.clientAddress,
      logger,
      signal: controller.signal,
      cut: controller.signal,
      dial: () => target.dial(),
      pace: () => undefined,
      acknowledged: async () => undefined,
      established: (facts) =>
        events.push({
          type: 'session.started',
          outcome: 'success',
          data: {
            user: opening.identity.user,
            login: opening.principal,
            ...(facts?.isLegacy === true && { legacy: true }),
          },
        }),
      decide: () => ({ allowed: true }),
      async perform(intent, effect) {
        await audit.beforeEffect();
        events.push(intent);
        const { value, event } = await effect();
        events.push(event);
        return value;
      },
      announce: notAsked,
      emit: (event) => void events.push(event),
      droppedEvents: 0,
      record: (channel) => createRecorder(recordings, channel, recorder),
      activity: () => void (activity.count += 1),
    };
    try {
      const reason = await proxy.serve(session, opening);
      events.push({ type: 'session.ended', outcome: 'success', reason, data: {} });
    } catch (thrown) {
      const error = toGatehouseError(thrown);
      if (process.env['SSH_TEST_DEBUG'])
        process.stderr.write(
          `${error.stack} cause ${String((error.cause as Error)?.stack)} ${String(((error.cause as Error)?.cause as Error)?.stack)}\n`,
        );
      events.push({
        type: 'session.connect_failed',
        outcome: 'failure',
        reason: error.reason ?? error.message,
        data: {},
      });
    } finally {
      controllers.delete(controller);
      client.destroy();
    }
  };

  const serveInBackground = (
    client: Duplex,
    offer: Pick<Offer, 'clientAddress' | 'transport' | 'identity' | 'route' | 'signal'>,
  ) => {
    serveConnection(client, offer).catch((thrown: unknown) =>
      logger.error({ err: thrown }, 'host failed'),
    );
  };
  const server = createServer({ noDelay: true }, (socket: Socket) => {
    socket.on('error', () => undefined);
    serveInBackground(socket, {
      clientAddress: `127.0.0.1:${socket.remotePort}`,
      transport: 'clear',
      signal: AbortSignal.timeout(openTimeout.ms),
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;

  return {
    dir,
    port,
    authorities,
    events,
    recordings,
    activity,
    targets,
    options,
    openTimeout,
    allowed,
    audit,
    recorder,
    files,
    user,
    end: (end) => {
      for (const controller of controllers) controller.abort(end);
    },
    async waitForEvent(type, count = 1) {
      for (let attempt = 0; attempt < 750; attempt += 1) {
        const found = events.filter((event) => event.type === type);
        if (found.length >= count) return found;
        await sleep(20);
      }
      throw new Error(`no ${type} in ${JSON.stringify(events.map((event) => event.type))}`);
    },
    async close() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

function createRecorder(
  recordings: Recorded[],
  channel: { columns: number; rows: number; command?: string },
  shared: Harness['recorder'],
): Recorder {
  const recorded: Recorded = {
    columns: channel.columns,
    rows: channel.rows,
    command: channel.command,
    output: '',
    resizes: [],
    ended: false,
  };
  recordings.push(recorded);
  return {
    recordingId: createId('rec'),
    output: (bytes) => void (recorded.output += Buffer.from(bytes).toString()),
    input: () => undefined,
    resize: (columns, rows) => void recorded.resizes.push(`${columns}x${rows}`),
    get overloaded() {
      return shared.overloaded;
    },
    drained: () => shared.drained(),
    end: async () => void (recorded.ended = true),
  };
}

async function createServices(authorities: TestAuthorities): Promise<ProxyServices> {
  const own = await issueTestHost(authorities, ['127.0.0.1', 'localhost', 'gw']);
  const hosts = new Map<string, Awaited<ReturnType<typeof issueTestHost>>>();
  const usedSessions = new Set<string>();
  return {
    clock: systemClock,
    logger,
    clusterName: 'test',
    replicaId: 'srv_1',
    replicas: { tell: () => undefined, onTold: () => undefined },
    publicNames: ['gw'],
    credentials: {
      verifySshUserCertificate: async (blob, clientAddress) =>
        verifySshUserCertificate(blob, {
          authorities: [authorities.userSsh.publicKey],
          nowMs: Date.now(),
          clientAddress,
        }),
      hostCertificate: async (name) => {
        if (name === undefined) return own;
        const host = hosts.get(name) ?? (await issueTestHost(authorities, [name, `${name}.test`]));
        hosts.set(name, host);
        return host;
      },
      targetCertificate: async (proof, login) => {
        const verified = verifySshUserProof(proof, {
          authorities: [authorities.userSsh.publicKey],
          nowMs: Date.now(),
        });
        const id = verified.sshSessionId.toString('hex');
        if (usedSessions.has(id)) throw new Error('proof used twice');
        usedSessions.add(id);
        const pair = generateKeyPair('ed25519');
        const validBeforeMs = Date.now() + 3_600_000;
        const certificate = await issueSshCertificate({
          type: 'user',
          publicKey: sshPublicKey(pair.privateKeyPem),
          serial: 1n,
          keyId: verified.identity.user,
          principals: [login],
          validAfterMs: Date.now() - 120_000,
          validBeforeMs,
          extensions: {
            'permit-pty': '',
            'permit-port-forwarding': '',
            'permit-agent-forwarding': '',
            'permit-user-rc': '',
          },
          signer: authorities.targetSsh.signer,
        });
        return { privateKeyPem: pair.privateKeyPem, certificate, validBeforeMs };
      },
      hostAuthorities: () => [authorities.hostSsh.publicKey],
    },
  };
}

export async function writeUserFiles(
  path: string,
  authorities: TestAuthorities,
  user: { privateKeyPem: string; sshCertificate: Buffer },
): Promise<UserFiles> {
  const files = { key: path, certificate: `${path}-cert.pub`, knownHosts: `${path}.known_hosts` };
  await writeFile(files.key, encodeOpensshPrivateKey(user.privateKeyPem, 'test'), { mode: 0o600 });
  await writeFile(files.certificate, `${formatSshPublicKey(user.sshCertificate)}\n`);
  await writeFile(
    files.knownHosts,
    `@cert-authority * ${formatSshPublicKey(authorities.hostSsh.publicKey)}\n`,
  );
  await chmod(files.key, 0o600);
  return files;
}

export interface Ran {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: Buffer | string;
  readonly timeoutMs?: number;
  readonly env?: Record<string, string>;
  readonly cwd?: string;
}

/** Runs a program to its end. */
export async function run(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Ran> {
  const child = spawn(command, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
    ...(options.cwd && { cwd: options.cwd }),
  });
  const stdout: Buffer[] = [];
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 30_000);
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  clearTimeout(timer);
  return { code, stdout: Buffer.concat(stdout), stderr };
}

/** Options of OpenSSH for a certificate and nothing else. */
export function sshOptions(files: UserFiles): string[] {
  return [
    '-F',
    'none',
    '-o',
    `IdentityFile=${files.key}`,
    '-o',
    `CertificateFile=${files.certificate}`,
    '-o',
    'IdentitiesOnly=yes',
    '-o',
    `UserKnownHostsFile=${files.knownHosts}`,
    '-o',
    'GlobalKnownHostsFile=none',
    '-o',
    'StrictHostKeyChecking=yes',
    '-o',
    'BatchMode=yes',
    '-o',
    'ConnectTimeout=20',
  ];
}

/** ssh to `login@target` in clear: the user name says where to. */
export async function ssh(
  harness: Harness,
  destination: string,
  args: readonly string[],
  options: RunOptions & { readonly flags?: readonly string[]; readonly files?: UserFiles } = {},
): Promise<Ran> {
  return run(
    'ssh',
    [
      ...sshOptions(options.files ?? harness.files),
      ...(options.flags ?? []),
      '-p',
      String(harness.port),
      `${destination}@127.0.0.1`,
      ...args,
    ],
    options,
  );
}

/** A harness with one sshd behind it, called `web-1`. */
export async function startWithSshd(
  options: Partial<SshdOptions> = {},
): Promise<{ harness: Harness; sshd: RunningSshd }> {
  const harness = await startHarness();
  const sshd = await addSshd(harness, 'web-1', options);
  return { harness, sshd };
}

export async function addSshd(
  harness: Harness,
  name: string,
  options: Partial<SshdOptions> = {},
): Promise<RunningSshd> {
  const host = await issueTestHost(harness.authorities, [name]);
  const sshd = await startSshd({
    dir: join(harness.dir, name),
    targetAuthorities: [formatSshPublicKey(harness.authorities.targetSsh.publicKey)],
    host,
    ...options,
  });
  harness.targets.set(name, { spec: { address: sshd.address }, dial: dialTcp(sshd.address) });
  return sshd;
}
