/** The protocols of the registry, as tests that run over all of them see them: fixtures, targets and roles, and people for them. */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import type { MatrixPerson, MatrixTarget, ProtocolFixture } from '@gatehouse/protocol-api/testing';

import type { AgentTargetSpec } from './agent.js';
import { root, type Installation } from './installation.js';
import type { Person } from './person.js';
import { exportCa } from './world.js';

export const protocolNames = readdirSync(join(root, 'packages/protocols')).filter(
  (name) => name !== 'api' && name !== 'registry',
);

/** A target of each protocol for each label, and what an agent and a role say of them. */
export class ProtocolTargets implements AsyncDisposable {
  readonly #fixtures = new Map<string, ProtocolFixture>();
  readonly #targets = new Map<string, MatrixTarget>();
  /** For the agent's configuration. */
  readonly listed: AgentTargetSpec[] = [];
  /** Of a role: all targets with the first label. */
  readonly allow: Record<string, unknown> = {};

  private constructor() {}

  /**
   * @param tree that has the protocols' folders
   * @param labels of the targets `<protocol>-<label>`, each with the label `matrix`
   */
  static async start(
    { ada, place, tree = root }: { ada: Person; place: Installation; tree?: string },
    { names, labels }: { names: readonly string[]; labels: readonly [string, ...string[]] },
  ): Promise<ProtocolTargets> {
    const all = new ProtocolTargets();
    const targetAuthorities = (await exportCa(ada, 'target_ssh')).trim().split('\n');
    for (const name of names) {
      const path = join(tree, 'packages/protocols', name, 'src/fixture.ts');
      const { fixture } = (await import(pathToFileURL(path).href)) as { fixture: ProtocolFixture };
      all.#fixtures.set(name, fixture);
      for (const label of labels) {
        const dir = join(place.folder('targets'), `${name}-${label}`);
        mkdirSync(dir);
        const target = await fixture.startTarget({ dir, targetAuthorities });
        all.#targets.set(`${name}-${label}`, target);
        all.listed.push({
          kind: fixture.kind,
          name: `${name}-${label}`,
          labels: { matrix: label },
          spec: target.spec,
        });
      }
      Object.assign(all.allow, fixture.allow, { [fixture.labelsField]: { matrix: labels[0] } });
    }
    return all;
  }

  fixture(name: string): ProtocolFixture {
    const fixture = this.#fixtures.get(name);
    if (fixture === undefined) throw new Error(`no fixture for ${name}`);
    return fixture;
  }

  async stop(target: string): Promise<void> {
    await this.#targets.get(target)?.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const target of this.#targets.values()) await target.stop();
  }
}

/** A client without a certificate. */
export async function createBareClient(place: Installation, person: Person): Promise<MatrixPerson> {
  const { knownHostsFile = '' } = await person.json<Record<string, string>>(['status']);
  const port = Number(place.ready.proxyAddr.split(':')[1]);
  return { port, knownHostsFile, dir: place.folder('client') };
}

/** The person's own client, with what their login left. */
export async function createClient(place: Installation, person: Person): Promise<MatrixPerson> {
  const status = await person.json<Record<string, string>>(['status']);
  const of = (file: string) => status[file] ?? '';
  return {
    ...(await createBareClient(place, person)),
    tls: {
      key: readFileSync(of('tlsKeyFile'), 'utf8'),
      certificate: readFileSync(of('tlsCertFile'), 'utf8'),
    },
    ssh: { keyFile: of('sshKeyFile'), certificateFile: of('sshCertFile') },
  };
}
