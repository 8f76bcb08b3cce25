/** The standing environment of the acceptance scenarios: people, roles, two agents with a real sshd each. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { stringify } from 'yaml';

import { Sshd, type SshdOptions } from '../servers/sshd.js';
import { joinAgent, type AgentProcess } from './agent.js';
import { startCluster, type Cluster, type ClusterOptions } from './cluster.js';
import { startHome, type Home } from './home.js';
import type { Installation } from './installation.js';
import { createAdmin, createPerson, type Person } from './person.js';
import { run } from './run.js';

export const devRole = {
  kind: 'role',
  version: 'v1',
  metadata: { name: 'dev' },
  spec: {
    options: { max_session_ttl: '8h', port_forwarding: 'both', file_transfer: 'both' },
    allow: { logins: ['deploy'], node_labels: { env: 'staging' }, app_labels: { env: 'staging' } },
  },
};

export const prodRootRole = {
  kind: 'role',
  version: 'v1',
  metadata: { name: 'prod-root' },
  spec: { allow: { logins: ['root'], node_labels: { env: 'prod' } } },
};

export interface WorldOptions {
  /** People beside ada; each with roles. */
  readonly people?: Readonly<Record<string, readonly string[]>>;
  readonly sshd?: SshdOptions;
  /** Leave the second agent and web-2 out. */
  readonly only?: 'staging';
  readonly roles?: readonly object[];
  readonly flags?: readonly string[];
}

export class World<Place extends Installation = Home> implements AsyncDisposable {
  readonly home: Place;
  readonly ada: Person;
  readonly people = new Map<string, Person>();
  readonly web1: Sshd;
  readonly web2: Sshd;
  readonly agents = new Map<string, AgentProcess>();

  constructor(home: Place, ada: Person, sshd: { web1: Sshd; web2: Sshd }) {
    this.home = home;
    this.ada = ada;
    this.web1 = sshd.web1;
    this.web2 = sshd.web2;
  }

  person(name: string): Person {
    const person = this.people.get(name);
    if (person === undefined) throw new Error(`nobody called ${name}`);
    return person;
  }

  /** `gate apply -f` as ada. */
  async apply(...documents: readonly object[]): Promise<void> {
    const file = join(this.home.dir, 'documents.yaml');
    writeFileSync(file, documents.map((document) => stringify(document)).join('---\n'));
    const result = await this.ada.gate(['apply', '-f', file]);
    if (result.code !== 0) throw new Error(`gate apply: ${result.stderr}`);
  }

  async add(name: string, roles: readonly string[]): Promise<Person> {
    const person = await createPerson(this.ada, name, roles);
    this.people.set(name, person);
    return person;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.agents.values()].map(async (agent) => agent.stop()));
    await Promise.all([this.web1[Symbol.asyncDispose](), this.web2[Symbol.asyncDispose]()]);
    await this.home[Symbol.asyncDispose]();
  }
}

/** At home, in one process. */
export async function createWorld(options: WorldOptions = {}): Promise<World> {
  return furnish(await startHome({ flags: options.flags ?? ['--no-agent'] }), options);
}

/** The same in a cluster of processes. */
export async function createClusterWorld(
  options: Omit<WorldOptions, 'flags'> & ClusterOptions = {},
): Promise<World<Cluster>> {
  return furnish(await startCluster(options), options);
}

async function furnish<Place extends Installation>(
  home: Place,
  options: WorldOptions,
): Promise<World<Place>> {
  try {
    await ensureUser('deploy');
    const ada = await createAdmin(home);
    const trustedUserCa = await exportCa(ada, 'target_ssh');
    const make = () => new Sshd({ ...options.sshd, trustedUserCa });
    const world = new World(home, ada, { web1: make(), web2: make() });
    await world.apply(devRole, prodRootRole, ...(options.roles ?? []));
    await addTargets(world, options);
    for (const [name, roles] of Object.entries(options.people ?? { alice: ['dev'] }))
      await world.add(name, roles);
    return world;
  } catch (thrown) {
    const log = home.log.slice(-3000);
    await home[Symbol.asyncDispose]();
    throw new Error(`the world could not be made; the cluster said:\n${log}`, { cause: thrown });
  }
}

async function addTargets(world: World<Installation>, options: WorldOptions): Promise<void> {
  await world.web1.start();
  const node = (name: string, env: string, sshd: Sshd) => ({
    kind: 'node',
    name,
    labels: { env },
    spec: { address: sshd.address, host_key: sshd.hostKey },
  });
  world.agents.set('a1', await joinAgent(world.ada, 'a1', [node('web-1', 'staging', world.web1)]));
  if (options.only === 'staging') return;
  await world.web2.start();
  world.agents.set('a2', await joinAgent(world.ada, 'a2', [node('web-2', 'prod', world.web2)]));
}

export async function exportCa(reader: Person, kind: string): Promise<string> {
  const result = await reader.gate(['ca', 'export', kind]);
  if (result.code !== 0) throw new Error(`gate ca export ${kind}: ${result.stderr}`);
  return result.stdout;
}

/** Real logins need real users on the target's host, which here is this machine. */
async function ensureUser(name: string): Promise<void> {
  if ((await run('id', [name])).code === 0) return;
  // A password of `*` fits nothing but is not locked: sshd without PAM refuses locked accounts.
  const made = await run('useradd', [
    '--create-home',
    '--shell',
    '/bin/bash',
    '--password',
    '*',
    name,
  ]);
  if (made.code !== 0)
    throw new Error(
      `tests need an OS user ${name}: useradd --create-home --shell /bin/bash --password '*' ${name}`,
    );
}
