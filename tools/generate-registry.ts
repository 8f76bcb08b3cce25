/**
 * Writes the only lists of protocols (packages/protocols/registry/src/*.ts) from the folders under packages/protocols and
 * the facets they have, the registry's dependencies, and every package's tsconfig references from its package.json.
 *   tsx tools/generate-registry.ts           write what differs
 *   tsx tools/generate-registry.ts --check   fail if anything would be written
 */
import { existsSync, globSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

const root = join(import.meta.dirname, '..');
const protocolsDir = join(root, 'packages/protocols');
const isCheck = process.argv.includes('--check');
const stale: string[] = [];

interface Manifest {
  name: string;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
}

function write(file: string, content: string): void {
  if (existsSync(file) && normalise(file, readFileSync(file, 'utf8')) === normalise(file, content))
    return;
  stale.push(relative(root, file));
  if (!isCheck) writeFileSync(file, content);
}

/** Formatting is the formatter's business: what counts is what is said. */
function normalise(file: string, text: string): string {
  return file.endsWith('.json') ? JSON.stringify(JSON.parse(text)) : text.replaceAll(/[\s,]/g, '');
}

function readManifest(dir: string): Manifest {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- our own package.json files
  return JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8')) as Manifest;
}

const protocols = readdirSync(protocolsDir)
  .filter(
    (name) =>
      name !== 'api' &&
      name !== 'registry' &&
      existsSync(join(protocolsDir, name, 'src/target.ts')),
  )
  .sort();

const withFacet = (facet: string) =>
  protocols.filter((name) => existsSync(join(protocolsDir, name, `src/${facet}.ts`)));

const camel = (name: string) =>
  name.replace(/-(\w)/g, (_all, letter: string) => letter.toUpperCase());

interface Facet {
  readonly file: string;
  readonly what: string;
  readonly imported: string;
  readonly list: string;
  readonly type: string;
  readonly typeImport: string;
}

const facets: readonly Facet[] = [
  {
    file: 'proxy',
    what: 'how the proxy speaks each protocol',
    imported: 'createProxy',
    list: 'proxyProtocols',
    type: 'Readonly<Record<string, (services: ProxyServices) => ProxyProtocol>>',
    typeImport: 'ProxyProtocol, ProxyServices',
  },
  {
    file: 'agent',
    what: 'how an agent reaches each kind of target; a protocol without an entry is a plain TCP dial',
    imported: 'createAgent',
    list: 'agentProtocols',
    type: 'Readonly<Record<string, (services: AgentServices) => AgentProtocol>>',
    typeImport: 'AgentProtocol, AgentServices',
  },
  {
    file: 'target',
    what: 'what a target of each protocol is',
    imported: 'target',
    list: 'targetTypes',
    type: 'Readonly<Record<string, TargetType>>',
    typeImport: 'TargetType',
  },
  {
    file: 'events',
    what: 'the audit events of each protocol',
    imported: 'events',
    list: 'protocolEvents',
    type: 'Readonly<Record<string, EventTable>>',
    typeImport: 'EventTable',
  },
];

for (const facet of facets) {
  const names = withFacet(facet.file);
  const imports = names.map(
    (name) =>
      `import { ${facet.imported} as ${camel(name)} } from '@gatehouse/protocol-${name}/${facet.file}';\n`,
  );
  const fileName = facet.file === 'target' ? 'targets' : facet.file;
  write(
    join(protocolsDir, 'registry/src', `${fileName}.ts`),
    `// Written by tools/generate-registry.ts from the folders under packages/protocols.\n` +
      `import type { ${facet.typeImport} } from '@gatehouse/protocol-api';\n${imports.join('')}\n` +
      `/** The registry: ${facet.what}. */\n` +
      `export const ${facet.list}: ${facet.type} = { ${names.map(camel).join(', ')} };\n`,
  );
}

const registryDir = join(protocolsDir, 'registry');
const registry = readManifest(registryDir);
const dependencies = [
  '@gatehouse/protocol-api',
  ...protocols.map((name) => `@gatehouse/protocol-${name}`),
].sort();
registry.dependencies = Object.fromEntries(dependencies.map((name) => [name, 'workspace:*']));
write(join(registryDir, 'package.json'), `${JSON.stringify(registry, undefined, 2)}\n`);

const manifests = globSync('{packages,packages/protocols,services,apps}/*/package.json', {
  cwd: root,
}).concat('e2e/package.json');
const dirs = new Map(
  manifests.map((file) => [readManifest(join(root, dirname(file))).name, dirname(file)]),
);
const typed = [...dirs.values()].filter(
  (dir) => globSync('{src,stack}/**/*.ts', { cwd: join(root, dir) }).length > 0,
);
for (const dir of typed) {
  const manifest = readManifest(join(root, dir));
  const names = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies });
  const references = names
    .map((name) => dirs.get(name))
    .filter((path) => path !== undefined)
    .map((path) => ({ path: relative(dir, path) }))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
  const base = relative(dir, 'tsconfig.base.json');
  write(
    join(root, dir, 'tsconfig.json'),
    `${JSON.stringify({ extends: base, references }, undefined, 2)}\n`,
  );
}
// The fakes have a configuration of their own: they are no packages until a test makes them some.
const all = [...typed, 'e2e/fakes'].sort().map((path) => ({ path }));
write(
  join(root, 'tsconfig.json'),
  `${JSON.stringify({ files: [], references: all }, undefined, 2)}\n`,
);

if (isCheck && stale.length > 0) {
  console.error(`stale, run "pnpm generate": ${stale.join(', ')}`);
  process.exitCode = 1;
}
