/** docker-compose.yml as a person would use it: up, invited, logged in, a first session over SSH; then everything goes. */
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Installation, type Ready } from '../stack/installation.js';
import { createAdmin, Person } from '../stack/person.js';
import { eventually } from '../stack/run.js';
import type { Engine } from './engine.js';

const address = 'localhost:8443';
/** A busy machine builds a JVM, a database and five processes of Node at once. */
const upTimeoutMs = 600_000;

export class Composed extends Installation {
  override readonly dir = mkdtempSync(join(tmpdir(), 'gatehouse-compose-'));
  override readonly log = '';
  override readonly ready: Ready;
  readonly #engine: Engine;

  constructor(engine: Engine, { invite, pin }: { invite: string; pin: string }) {
    super();
    this.#engine = engine;
    this.ready = {
      version: 1,
      pid: 0,
      clusterName: 'compose',
      proxyAddr: address,
      webUrl: `https://${address}`,
      caPin: pin,
      adminInviteUrl: invite,
      metricsUrl: '',
      startedAt: new Date().toISOString(),
    };
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.dir, { recursive: true, force: true });
    await down(this.#engine);
  }
}

/** What `docker compose up` says at the end of its first output. */
export async function composeUp(engine: Engine): Promise<Composed> {
  if (await answers(address)) throw new Error(`something else has ${address}; stop it first`);
  await down(engine);
  try {
    await engine.compose(['up', '--detach'], { timeoutMs: upTimeoutMs });
    const said = await eventually(
      'the invitation',
      async () => {
        const log = await engine.compose(['logs', '--no-color', 'invite']);
        const invite = /invite accept (\S+)/.exec(log)?.[1];
        const pin = /GATE_CA_PIN=(\S+)/.exec(log)?.[1];
        return invite === undefined || pin === undefined ? undefined : { invite, pin };
      },
      upTimeoutMs,
    );
    return new Composed(engine, said);
  } catch (thrown) {
    const log = await engine.compose(['logs', '--no-color', '--tail=40']).catch(() => '');
    await down(engine);
    throw new Error(`docker compose up:\n${log}`, { cause: thrown });
  }
}

/** Invite, login, an agent's token, the agent's container, `ssh`; yields what the shell over there said. */
export async function firstSession(engine: Engine, composed: Composed): Promise<string> {
  const admin = await createAdmin(composed);
  const { token } = await admin.json<{ token: string }>(['tokens', 'add', '--type', 'agent']);
  const env = { GATE_AGENT_TOKEN: token, GATE_CA_PIN: composed.ready.caPin };
  await engine.compose(['--profile', 'agent', 'up', '--detach', 'agent'], { env });
  const asked = ['users', 'add', 'alice', '--roles', 'access', '--trait', 'logins=node'];
  const alice = new Person(composed, 'alice');
  await alice.accept((await admin.json<{ inviteUrl: string }>(asked)).inviteUrl);
  await alice.login();
  await eventually(
    'the agent',
    async () => (await alice.json<{ status: string }[]>(['ls']))[0]?.status === 'online',
    120_000,
  );
  const session = await alice.ssh(['node@demo', 'id -un']);
  if (session.code !== 0)
    throw new Error(`ssh: ${session.code}\n${session.stderr}${await agentLog(engine)}`);
  return session.stdout.trim();
}

/** Types of what the session left with the audit-service, waited for: it went through Kafka into the database. */
export async function auditedTypes(composed: Composed): Promise<readonly string[]> {
  const ada = new Person(composed, 'ada');
  return eventually(
    'the session in the audit',
    async () => {
      const { events } = await ada.json<{ events: { type: string }[] }>(['audit', 'search']);
      const types = events.map(({ type }) => type);
      return types.includes('session.ended') && types;
    },
    60_000,
  );
}

async function agentLog(engine: Engine): Promise<string> {
  return engine.compose(['--profile', 'agent', 'logs', '--no-color', '--tail=40', 'agent']);
}

async function down(engine: Engine): Promise<void> {
  await engine.compose(['--profile', 'agent', 'down', '--volumes', '--timeout', '15']);
}

async function answers(place: string): Promise<boolean> {
  const [host = '', port = ''] = place.split(':');
  const socket = connect({ host, port: Number(port) });
  return new Promise((resolve) => {
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
  }).then((found) => {
    socket.destroy();
    return found === true;
  });
}
