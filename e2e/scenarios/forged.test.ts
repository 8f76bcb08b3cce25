/** What is right in its own place, in the place of another: certificates, tokens (CRT-08), and a proxy that is none (TUN-08). */
import { createPrivateKey } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import { connect } from 'node:tls';

import { derToPem, parseSshCertificate } from '@gatehouse/identity';
import { issueTestHost, issueTestService, type TestUser } from '@gatehouse/identity/testing';
import { loginRaw } from '@gatehouse/protocol-ssh/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { AgentProcess, joinAgent, waitForAgent } from '../stack/agent.js';
import { readCredential } from '../stack/credential.js';
import { openDoor, statusOf, type TlsCredential } from '../stack/door.js';
import { waitForEvent, type Event } from '../stack/events.js';
import { createForger, type Forger } from '../stack/forge.js';
import { Person } from '../stack/person.js';
import { eventually } from '../stack/run.js';
import { openForgedProxy } from '../stack/tunnel-hop.js';
import { createWorld, type World } from '../stack/world.js';

const now = () => new Date().toISOString();
const admin = '/gatehouse.auth.v1.AdministrationService';

let world: World;
let forger: Forger;
let alice: Person;
let port: number;
/** What a person called alice may show, by the cluster's own CA. */
let user: TestUser;
beforeAll(async () => {
  world = await createWorld({ only: 'staging' });
  forger = await createForger(world.home);
  alice = world.person('alice');
  port = Number(world.home.ready.proxyAddr.split(':')[1]);
  const { identity } = parseSshCertificate((await readCredential(alice)).certificate);
  if (identity === undefined) throw new Error('no identity in the certificate');
  user = await forger.user({ ...identity, keyType: 'ed25519' });
});
afterAll(async () => world[Symbol.asyncDispose]());

interface StoredAgent extends TlsCredential {
  readonly agentId: string;
}

/** What an agent keeps of itself. */
function readAgent(name: string): StoredAgent {
  const file = join(world.agents.get(name)?.dir ?? '', 'data/agent.json');
  const { agentId, privateKeyPem, certificate } = JSON.parse(readFileSync(file, 'utf8')) as Record<
    'agentId' | 'privateKeyPem' | 'certificate',
    string
  >;
  return { agentId, privateKeyPem, certificate: Buffer.from(certificate, 'base64') };
}

async function wrongKind(from: string, match: (event: Event) => boolean): Promise<Event> {
  return waitForEvent(
    world.ada,
    { type: 'connection.refused', from, outcome: 'denied' },
    (event) => event.reason === 'wrong_kind' && match(event),
  );
}

/** The first bytes that come for this certificate on an agent's connection; '' where it is closed. */
async function knockAsAgent({ privateKeyPem, certificate }: TlsCredential): Promise<string> {
  const socket = connect({
    port,
    host: '127.0.0.1',
    servername: `tunnel.${world.home.ready.clusterName}.gatehouse.internal`,
    rejectUnauthorized: false,
    ALPNProtocols: ['gatehouse-tunnel'],
    key: privateKeyPem,
    cert: derToPem(certificate, 'CERTIFICATE'),
  });
  socket.on('error', () => undefined);
  socket.setTimeout(15_000, () => socket.destroy(new Error('neither bytes nor an end')));
  try {
    for await (const chunk of socket as AsyncIterable<Buffer>) return chunk.toString('latin1');
    return '';
  } finally {
    socket.destroy();
  }
}

describe('a certificate of another kind (CRT-08)', () => {
  it('is no person, where it is a host’s or a service’s', async () => {
    const before = world.web1.connections;
    const from = now();
    const host = await issueTestHost(forger.authorities, ['alice', 'web-1']);
    const asCredential = (certificate: Buffer, pem: string) => ({
      certificate,
      key: createPrivateKey(pem),
    });
    const logIn = async (credential: ReturnType<typeof asCredential>) =>
      loginRaw({ port, userName: 'deploy@web-1', ...credential });
    await expect(logIn(asCredential(host.certificate, host.privateKeyPem))).rejects.toThrow(
      'it is a host certificate',
    );
    const clear = await wrongKind(from, ({ data }) => data['protocol'] === 'ssh');
    expect(world.home.log).toContain(String(clear.data['errorId']));
    const proxy = await issueTestService(forger.authorities, 'proxy');
    const parts = [proxy, readAgent('a1')];
    for (const { privateKeyPem, certificate } of parts) {
      const since = now();
      const shown = { privateKeyPem, tlsCertificate: certificate };
      const { error, session } = await forger.preface(shown, 'web-1', 'deploy');
      expect(session).toBeUndefined();
      expect(error?.message).toContain('it is not a person');
      await wrongKind(since, ({ data }) => data['protocol'] === undefined);
    }
    expect(world.web1.connections).toBe(before);
    // Control: the same ways with a person's.
    using client = await logIn(asCredential(user.sshCertificate, user.privateKeyPem));
    const channel = await client.openSession();
    const answer = await channel.ask([{ name: 'exec', fields: ['id -un'] }]);
    expect(answer.stdout).toBe('deploy\n');
    expect(await forger.preface(user, 'web-1', 'deploy')).toMatchObject({
      session: expect.stringMatching(/^ses_/),
    });
  });

  it('is no agent, where it is a person’s', async () => {
    const from = now();
    const { privateKeyPem, tlsCertificate: certificate } = user;
    expect(await knockAsAgent({ privateKeyPem, certificate })).toBe('');
    await wrongKind(from, ({ data }) => data['transport'] === 'tunnel');
    // Control: the agent's own is greeted by the HTTP/2 of its tunnel, and the person's works as a person's.
    expect(await knockAsAgent(readAgent('a1'))).toMatch(/^PRI \* HTTP\/2\.0/);
    expect(await forger.preface(user, 'web-1', 'deploy')).toHaveProperty('session');
  });

  it('administers nothing, where it is an agent’s', async () => {
    const from = now();
    const agent = readAgent('a1');
    const asAgent = openDoor(world.home, 'auth', agent);
    for (const method of ['ListTargets', 'ListAgents', 'CreateJoinToken', 'ApplyDocument'])
      expect(await statusOf(asAgent, `${admin}/${method}`), method).toBe('7');
    const refused = await wrongKind(from, ({ actor }) => actor.kind === 'agent');
    expect(refused.actor.name).toBe(agent.agentId);
    // Control: a person lists, and the agent reaches what is for agents, where its empty key is refused as such.
    const { privateKeyPem, tlsCertificate: certificate } = user;
    const asPerson = openDoor(world.home, 'auth', { privateKeyPem, certificate });
    expect(await statusOf(asPerson, `${admin}/ListTargets`)).toBe('0');
    expect(await statusOf(asPerson, '/gatehouse.auth.v1.EnrollmentService/RenewAgent')).toBe('7');
    expect(await statusOf(asAgent, '/gatehouse.auth.v1.EnrollmentService/RenewAgent')).toBe('3');
    asAgent.destroy();
    asPerson.destroy();
    expect((await alice.ssh(['deploy@web-1', 'true'])).code).toBe(0);
  });
});

describe('a token of another kind (CRT-08)', () => {
  it('is no login and no invitation, where it lets an agent join', async () => {
    const { token } = await world.ada.json<{ token: string }>(['tokens', 'add', '--type', 'agent']);
    const from = now();
    const file = join(world.home.folder('passwords'), 'token');
    writeFileSync(file, `${token}\n`, { mode: 0o600 });
    const guess = async (passwordFile: string) =>
      world.home.gate(world.home.folder('people/token'), [
        'login',
        '--user',
        'alice',
        '--password-file',
        passwordFile,
        '--otp',
        await alice.otp(),
      ]);
    expect(await guess(file)).toMatchObject({ code: 1, stdout: '' });
    const link = `${world.home.ready.webUrl}/invite/${token}`;
    const mallory = new Person(world.home, 'mallory');
    await expect(mallory.accept(link)).rejects.toThrow('link');
    const failed = { type: 'login.failed', from };
    await waitForEvent(world.ada, failed, ({ reason }) => reason === 'bad_password');
    await waitForEvent(world.ada, failed, ({ reason }) => reason === 'wrong_kind');
    // Control: the password logs in, and the token still lets an agent join.
    expect((await guess(alice.passwordFile)).code).toBe(0);
    const agent = new AgentProcess(world.home, 'joins');
    world.agents.set(agent.name, agent);
    const spec = { address: world.web1.address, host_key: world.web1.hostKey };
    agent.configure([{ kind: 'node', name: 'joins-1', labels: { env: 'staging' }, spec }]);
    agent.start({ token });
    await waitForAgent(world.ada, agent, ['joins-1']);
  });

  it('lets no agent join, where it invites a person', async () => {
    const { inviteUrl } = await world.ada.json<{ inviteUrl: string }>([
      'users',
      'add',
      'ivy',
      '--roles',
      'dev',
    ]);
    const token = inviteUrl.split('/').at(-1) ?? '';
    expect(token).toMatch(/^inv-/);
    const from = now();
    const agent = new AgentProcess(world.home, 'invited');
    agent.configure([]);
    agent.start({ token });
    await eventually('the agent to give up', () => agent.exitCode !== null, 20_000);
    expect(agent.exitCode).toBe(1);
    expect(agent.log).toContain('join token is not valid');
    const refused = await waitForEvent(world.ada, { type: 'agent.join_refused', from });
    expect(refused).toMatchObject({ outcome: 'denied', reason: 'wrong_kind' });
    // Control: it still invites.
    const ivy = new Person(world.home, 'ivy');
    await ivy.accept(inviteUrl);
    await ivy.login();
    expect((await ivy.ssh(['deploy@web-1', 'echo ivy'])).stdout).toBe('ivy\n');
  });
});

describe('an agent (TUN-08)', () => {
  /** Another port of web-1: nobody may ever come here. */
  let canary: Server;
  let canaryPort: number;
  let arrivals = 0;
  beforeAll(async () => {
    canary = createServer((socket) => {
      arrivals += 1;
      socket.on('error', () => undefined);
      socket.end('SSH-2.0-canary\r\n');
    });
    await new Promise<void>((resolve) => canary.listen(0, '127.0.0.1', resolve));
    canaryPort = (canary.address() as AddressInfo).port;
  });
  afterAll(async () => new Promise((resolve) => canary.close(resolve)));

  it('refuses a forged proxy whatever is not in its list', async () => {
    const { agentId } = readAgent('a1');
    const forged = await issueTestService(forger.authorities, 'proxy');
    using proxy = await openForgedProxy(world.home, forged, forger.authorities);
    const before = world.web1.connections;
    const names = [
      'web-9',
      'joins-1',
      `web-1:${canaryPort}`,
      `127.0.0.1:${canaryPort}`,
      world.web1.address,
      '169.254.169.254',
      '169.254.169.254:80',
      'localhost',
      `localhost:${canaryPort}`,
      'WEB-1',
    ];
    const asked = [...names.map((target) => ({ target })), { target: 'web-1', protocol: 'tcp' }];
    for (const one of asked)
      await expect(proxy.dial(agentId, one), JSON.stringify(one)).rejects.toMatchObject({
        reason: 'not_allowed_by_agent',
      });
    // Nor does another forged part than a proxy get that far.
    const tunnel = await issueTestService(forger.authorities, 'tunnel');
    using other = await openForgedProxy(world.home, tunnel, forger.authorities);
    await expect(other.dial(agentId, {})).rejects.toThrow();
    expect(arrivals).toBe(0);
    expect(world.web1.connections).toBe(before);
    await eventually('each refusal in the log of the agent itself', () => {
      const lines = (world.agents.get('a1')?.log ?? '').split('\n');
      const refusals = lines.filter((line) => line.includes('dial refused'));
      const sessions = refusals.map((line) => /ses_[0-9a-f-]+/.exec(line)?.[0]);
      return new Set(sessions).size === asked.length;
    });
    // Control: web-1 as it is listed.
    const stream = await proxy.dial(agentId, { target: 'web-1' });
    const [greeting] = (await once(stream, 'data', {
      signal: AbortSignal.timeout(10_000),
    })) as [Buffer];
    expect(greeting.toString()).toMatch(/^SSH-2\.0-OpenSSH/);
    stream.destroy();
    expect(world.web1.connections).toBe(before + 1);
  });

  it('refuses its own cluster what its configuration no longer lets documents add', async () => {
    const kept = {
      kind: 'node',
      name: 'kept-1',
      labels: { env: 'staging' },
      spec: { address: world.web1.address, host_key: world.web1.hostKey },
    };
    const agent = await joinAgent(world.ada, 'docs', [kept]);
    world.agents.set('docs', agent);
    await agent.stop();
    agent.configure([kept], { dynamic: ['doc-*'] });
    agent.start();
    await waitForAgent(world.ada, agent, ['kept-1']);
    const addresses = {
      'doc-port': `127.0.0.1:${canaryPort}`,
      'doc-metadata': '169.254.169.254:80',
      'doc-loopback': `localhost:${world.web1.port}`,
    };
    const documents = Object.entries(addresses).map(([name, address]) => ({
      kind: 'node',
      version: 'v1',
      metadata: { name, labels: { env: 'staging' } },
      spec: { agent: 'docs', address, host_key: world.web1.hostKey },
    }));
    await eventually('documents that the agent allows', async () => {
      await world.apply(...documents);
      return true;
    });
    // Control: while the configuration allows them they are dialled.
    await eventually(
      'the target of a document',
      async () => (await alice.ssh(['deploy@doc-loopback', 'echo doc'])).stdout === 'doc\n',
      30_000,
    );
    await agent.stop();
    agent.configure([kept]);
    agent.start();
    // Control: what is in its own list opens, before and after.
    const openKept = async () =>
      (await alice.ssh(['deploy@kept-1', 'echo kept'])).stdout === 'kept\n';
    await eventually('the agent is back', openKept, 30_000);
    const before = world.web1.connections;
    const from = now();
    for (const name of Object.keys(addresses)) {
      const refused = await alice.ssh([`deploy@${name}`, 'true']);
      expect(refused.code).toBe(255);
      expect(refused.stderr).toContain(`the agent of ${name} refused`);
      const failed = await waitForEvent(world.ada, {
        type: 'session.connect_failed',
        target: name,
        from,
      });
      expect(failed).toMatchObject({
        actor: { name: 'alice' },
        outcome: 'failure',
        reason: 'not_allowed_by_agent',
      });
      expect(refused.stderr).toContain(String(failed.data['errorId']));
    }
    expect(arrivals).toBe(0);
    expect(world.web1.connections).toBe(before);
    expect(await openKept()).toBe(true);
  });
});
