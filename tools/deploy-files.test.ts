/**
 * What is shipped for containers, without an engine or Helm: the files that services will read, by the services' own
 * check, and that names and ports in different files are the same ones. `pnpm test:deploy` runs the real thing.
 */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';
import { parse, stringify } from 'yaml';

import { readServiceCommand } from '../packages/kit/src/config/command-line.js';
import { auditCommandLine } from '../services/audit-service/src/config.js';
import { authCommandLine } from '../services/auth-service/src/config.js';
import { proxyCommandLine } from '../services/proxy-service/src/config.js';
import { tunnelCommandLine } from '../services/tunnel-service/src/config.js';
import { agentValues, clusterValues } from './values-schema.js';

const root = join(import.meta.dirname, '..');
const parts = ['auth', 'proxy', 'tunnel', 'audit'] as const;
type Part = (typeof parts)[number];
type Tree = Record<string, unknown>;

interface Config extends Tree {
  readonly listen?: string;
  readonly public_listen?: string;
  readonly metrics_listen: string;
  readonly public_addr?: string;
}

interface ComposeService {
  readonly image: string;
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly networks?: readonly string[];
  readonly build?: { readonly dockerfile: string; readonly args?: { readonly SERVICE: string } };
}

type Values = Readonly<Record<Part, { readonly config: Config }>> & {
  readonly config: Tree;
};

const checks: Record<Part, (args: string[]) => { text?: string }> = {
  auth: (args) => readServiceCommand(authCommandLine, args),
  proxy: (args) => readServiceCommand(proxyCommandLine, args),
  tunnel: (args) => readServiceCommand(tunnelCommandLine, args),
  audit: (args) => readServiceCommand(auditCommandLine, args),
};

function read(file: string): string {
  return readFileSync(join(root, file), 'utf8');
}

function readTree<T = Tree>(file: string): T {
  return parse(read(file), { merge: true }) as T;
}

function temporary(): string {
  const dir = mkdtempSync(join(tmpdir(), 'deploy-files-'));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  return dir;
}

/** What the service says to `--check-config`. */
function check(part: Part, config: Tree): string | undefined {
  const file = join(temporary(), `${part}.yaml`);
  writeFileSync(file, stringify(config));
  return checks[part](['--config', file, '--check-config']).text?.replace(file, 'it');
}

/** As Helm lays values over values: maps key by key, anything else as a whole, null takes away. */
function layOver<T extends object>(below: T, above: object): T {
  const merged: Tree = { ...below };
  for (const [key, value] of Object.entries(above) as [string, unknown][]) {
    const under = merged[key];
    if (value === null) delete merged[key];
    else merged[key] = isMap(value) && isMap(under) ? layOver(under, value) : value;
  }
  return merged as T;
}

function isMap(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** All texts in it. */
function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : [];
}

const portOf = (address: string) => Number(address.split(':').at(-1));

const portsOf = ({ listen, public_listen }: Config) =>
  [listen, public_listen].flatMap((address) => (address === undefined ? [] : [portOf(address)]));

describe('docker-compose.yml', () => {
  const { services, volumes: declared } = readTree<{
    services: Readonly<Record<string, ComposeService>>;
    volumes: Tree;
  }>('docker-compose.yml');
  const configs = Object.fromEntries(
    parts.map((part) => [part, readTree(`deploy/compose/${part}-service.yaml`)]),
  ) as Record<Part, Config>;
  /** `auth:3025` and the like in all configurations, with who listens there. */
  const listeners = new Map<string, readonly number[]>([
    ['kafka', [9092]],
    ['postgres', [5432]],
    ...Object.keys(services).flatMap((name): [string, number[]][] => {
      const part = parts.find((known) => name === known || name.startsWith(`${known}-`));
      if (part === undefined) return [];
      return [[name, portsOf(configs[part])]];
    }),
  ]);

  it.each(parts)('gives %s-service a file that it takes', (part) => {
    expect(check(part, configs[part])).toBe('it is valid\n');
    expect(check(part, { ...configs[part], typo: 1 })).toContain('typo');
    const mounts = Object.entries(services).filter(([name]) => name.replace(/-\d$/, '') === part);
    expect(mounts.length).toBeGreaterThan(0);
    for (const [, { image, volumes }] of mounts) {
      expect(image).toBe(`gatehouse/${part}-service`);
      expect(volumes).toContain(
        `./deploy/compose/${part}-service.yaml:/etc/gatehouse/config.yaml:ro`,
      );
    }
  });

  it('mounts files that are there and volumes that are declared', () => {
    const mounted = Object.values(services).flatMap(({ volumes = [] }) => volumes);
    for (const mount of mounted) {
      const [from = ''] = mount.split(':');
      if (from.startsWith('./')) expect(existsSync(join(root, from)), from).toBe(true);
      else expect(declared, from).toHaveProperty(from);
    }
  });

  it('dials only ports that somebody of that name listens on', () => {
    const dialled = Object.values(configs).flatMap((config) =>
      textsIn(config).flatMap((text) => {
        const found = /^(?:postgres:\/\/\w+@)?([a-z][a-z0-9-]*):(\d+)(?:\/|$)/.exec(text);
        return found === null || found[1] === 'localhost' ? [] : [found];
      }),
    );
    expect(dialled.length).toBeGreaterThan(10);
    for (const [text, host = '', port] of dialled)
      expect(listeners.get(host), text).toContain(Number(port));
    expect(services['proxy']?.ports).toEqual(['127.0.0.1:8443:8443']);
    expect(configs.proxy.public_addr).toBe(configs.auth.public_addr);
  });

  // Its guests have shells there, and Kafka asks nobody who they are.
  it('lets the agent see the proxy and nothing else', () => {
    const networksOf = ({ networks = ['default'] }: ComposeService) => networks;
    const seen = Object.entries(services).filter(([, service]) =>
      networksOf(service).some((one) => networksOf(services['agent'] ?? {}).includes(one)),
    );
    expect(seen.map(([name]) => name)).toEqual(['proxy', 'agent']);
  });

  it('gives each database to its own service alone', () => {
    for (const file of ['deploy/compose/databases.sh', 'docs/deploying.md'])
      expect(read(file), file).toMatch(
        /create database.*\n\s*revoke all on database \S+ from public;/,
      );
  });

  it('makes every secret that a configuration names, for its reader alone, and once', () => {
    const dir = temporary();
    for (const reader of ['postgres', ...parts]) mkdirSync(join(dir, reader));
    const make = () =>
      execFileSync('sh', [join(root, 'deploy/compose/secrets.sh')], {
        env: { ...process.env, SECRETS_DIR: dir },
      });
    make();
    const secret = (reader: string, name: string) => readFileSync(join(dir, reader, name), 'utf8');
    for (const part of parts)
      for (const text of textsIn(configs[part])) {
        const name = /^\/run\/secrets\/([\w-]+)$/.exec(text)?.[1];
        if (name === undefined) continue;
        expect(secret(part, name), `${part} ${name}`).toMatch(/^\S{44}\n$|^[0-9a-f]{64}$/);
        expect(statSync(join(dir, part, name)).mode & 0o077).toBe(0);
      }
    expect(globSync('*', { cwd: join(dir, 'proxy') })).toEqual(['join-proxy']);
    const before = secret('auth', 'kek');
    rmSync(join(dir, 'auth/join-audit'));
    make();
    expect(secret('auth', 'kek')).toBe(before);
    expect(secret('audit', 'join-audit')).toBe(secret('auth', 'join-audit'));
  });

  it('builds every image of ours by a Dockerfile that takes the service', () => {
    const images = Object.values(services).flatMap(({ image, build }) => {
      if (build === undefined) return [];
      expect(existsSync(join(root, build.dockerfile)), image).toBe(true);
      return [build.args?.SERVICE ?? 'agent'];
    });
    const wanted = [...parts.map((part) => `${part}-service`), 'agent'];
    expect(images.sort()).toEqual(wanted.sort());
    expect(read('deploy/docker/service.Dockerfile')).toMatch(/^ARG SERVICE$/m);
  });

  it('gives PostgreSQL a script to run, not to be read into its own start', () => {
    expect(statSync(join(root, 'deploy/compose/databases.sh')).mode & 0o111).not.toBe(0);
  });

  it.each(globSync('{deploy/**,e2e/deploy/**}/*.sh', { cwd: root }))('%s can be read', (file) => {
    execFileSync('bash', ['-n', join(root, file)]);
  });
});

describe('helm/gatehouse', () => {
  const defaults = readTree<Values>('helm/gatehouse/values.yaml');
  const sets = globSync('helm/gatehouse/ci/*.yaml', { cwd: root });

  it('wants what only its user knows to be said', async () => {
    const schema = await clusterValues();
    const missing = schema.safeParse(defaults).error?.issues.map(({ path }) => path.join('.'));
    expect(missing?.sort()).toEqual([
      'audit.config.database.url',
      'auth.config.database.url',
      'auth.config.public_addr',
      'config.event_log.brokers',
      'proxy.config.public_addr',
    ]);
  });

  it.each(sets)('%s fits the schema, and each service takes what is made of it', async (file) => {
    const values = layOver(defaults, readTree(file));
    const schema = await clusterValues();
    expect(schema.safeParse(values).error).toBeUndefined();
    for (const part of parts)
      expect(check(part, layOver(values.config, values[part].config)), part).toBe('it is valid\n');
  });

  it('opens in each container the ports that its configuration listens on', () => {
    for (const part of parts) {
      const template = read(`helm/gatehouse/templates/${part}-service.yaml`);
      const declared = /"ports" \(dict ([^)]*)\)/.exec(template)?.[1]?.match(/\d+/g)?.map(Number);
      expect(declared).toEqual(portsOf(defaults[part].config));
      expect(portOf(defaults[part].config.metrics_listen)).toBe(9440);
    }
  });

  it('dials only services of its own, on ports that they listen on', () => {
    const dialled = parts.flatMap((part) =>
      textsIn(defaults[part].config).flatMap((text) => {
        const found = /^gatehouse-(\w+):(\d+)$/.exec(text);
        return found === null ? [] : [{ part: found[1] as Part, port: Number(found[2]) }];
      }),
    );
    expect(dialled).toHaveLength(7);
    for (const { part, port } of dialled) {
      expect(portsOf(defaults[part].config)).toContain(port);
      const template = read(`helm/gatehouse/templates/${part}-service.yaml`);
      expect(template).toContain(`port: ${port}, targetPort:`);
      expect(template).toContain(`name: gatehouse-${part}\n`);
    }
  });

  it('renders configurations from values alone, and mounts the secrets that they name', () => {
    const helpers = read('helm/gatehouse/templates/_helpers.tpl');
    expect(helpers).toContain(
      '{{ toYaml (mergeOverwrite (deepCopy .root.Values.config) (deepCopy (index .root.Values .part).config)) }}',
    );
    const keys = readKeys(read('helm/gatehouse/files/make-secrets.mjs'));
    for (const part of parts)
      for (const text of textsIn(defaults[part].config)) {
        const key = /^\/run\/secrets\/gatehouse\/([\w-]+)$/.exec(text)?.[1];
        if (key !== undefined) expect(keys, text).toContain(key);
      }
    for (const key of keys)
      expect(helpers.replaceAll('{{ .part }}', 'proxy'), key).toContain(`key: ${key}`);
  });

  it('changes a pod whose volume one node has by stopping it first', () => {
    const helpers = read('helm/gatehouse/templates/_helpers.tpl');
    const [, rule] =
      /else if (.*) }}\n(?:.*#.*\n)*\s+strategy: {type: Recreate}/.exec(helpers) ?? [];
    expect(rule).toBe(
      'and (eq .part "audit") (not (has "ReadWriteMany" $values.recordings.accessModes))',
    );
  });

  it('never makes up a secret in a template, where each upgrade would make another', () => {
    for (const file of globSync('helm/*/templates/*', { cwd: root }))
      expect(read(file), file).not.toMatch(/\b(rand\w+|genPrivateKey|gen\w*Cert|uuidv4)\b/);
  });
});

describe('helm/gatehouse-agent', () => {
  const defaults = readTree('helm/gatehouse-agent/values.yaml');

  it.each(globSync('helm/gatehouse-agent/ci/*.yaml', { cwd: root }))('%s fits', async (file) => {
    const schema = await agentValues();
    expect(schema.safeParse(defaults).error?.issues.map(({ path }) => path[0])).toEqual(['proxy']);
    const values = layOver(defaults, readTree(file));
    expect(schema.safeParse(values).error).toBeUndefined();
  });
});

describe.each(['gatehouse', 'gatehouse-agent'])('templates of helm/%s', (chart) => {
  const defaults = readTree(`helm/${chart}/values.yaml`);
  const templates = globSync(`helm/${chart}/templates/*`, { cwd: root });

  it('name only values that there are, with a default for each', () => {
    const named = templates.flatMap((file) =>
      [...read(file).matchAll(/\.Values\.([\w.]+)/g)].map(([, path = '']) => path),
    );
    expect(named.length).toBeGreaterThan(10);
    for (const path of named) {
      const keys = path.split('.');
      const last = keys.pop() ?? '';
      const parent = keys.reduce<Tree | undefined>((tree, key) => tree?.[key] as Tree, defaults);
      expect(parent, path).toHaveProperty(last);
    }
  });

  it('have as many opened blocks as closed ones', () => {
    for (const file of templates) {
      const text = read(file).replaceAll(/\{\{-?\s*\/\*.*?\*\/\s*-?\}\}/gs, '');
      const opened = text.match(/\{\{-?\s*(if|range|with|define)\b/g)?.length ?? 0;
      const closed = text.match(/\{\{-?\s*end\b/g)?.length ?? 0;
      expect(opened, basename(file)).toBe(closed);
    }
  });
});

function readKeys(script: string): string[] {
  const list = /const keys = \[(.*)\]/.exec(script)?.[1] ?? '';
  return [...list.matchAll(/'([\w-]+)'/g)].map(([, key = '']) => key);
}
