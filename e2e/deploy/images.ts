/**
 * The images: the project's own, by its Dockerfiles, and what they stand on. The usual bases can't be had on every machine,
 * so a Debian root made here carries the name that the Dockerfiles ask for; they are built unchanged.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { root } from '../stack/installation.js';
import { cache, type Engine } from './engine.js';

const debian = 'debian:bookworm-slim';
const standIns = join(import.meta.dirname, 'stand-ins');

export const serviceImages = ['auth', 'proxy', 'tunnel', 'audit'].map((name) => `${name}-service`);

/** Bases and stand-ins, where they are not there yet. */
export async function makeBases(engine: Engine): Promise<void> {
  if (!(await isThere(engine, debian))) {
    const trusting = [
      '--change=ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt',
      '--change=CMD ["bash"]',
    ];
    await engine.docker(['import', ...trusting, join(cache, 'debian.tar'), debian]);
  }
  await buildStandIn(engine, 'node:24-bookworm-slim', (folder) => {
    writeFileSync(
      join(folder, 'Dockerfile'),
      `FROM ${debian}
RUN groupadd --gid 1000 node && useradd --uid 1000 --gid node --shell /bin/bash --create-home node
COPY node /usr/local/bin/node
COPY npm /usr/local/lib/node_modules/npm
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
CMD ["node"]
`,
    );
    cpSync(process.execPath, join(folder, 'node'));
    cpSync(npmFolder(), join(folder, 'npm'), { recursive: true, dereference: true });
  });
  await buildStandIn(engine, 'postgres:15-bookworm', (folder) => {
    cpSync(join(standIns, 'postgres'), folder, { recursive: true });
  });
  await buildStandIn(engine, 'apache/kafka:4.3.1', (folder) => {
    cpSync(join(standIns, 'kafka'), folder, { recursive: true });
    cpSync(join(root, '.cache/kafka-4.3.1/lib'), join(folder, 'libs'), { recursive: true });
  });
}

/** The project's own, as `gatehouse/<name>`; yields how many bytes each has. */
export async function buildImages(engine: Engine): Promise<ReadonlyMap<string, number>> {
  const sizes = new Map<string, number>();
  for (const name of [...serviceImages, 'agent']) {
    const tag = `gatehouse/${name}`;
    const file = `deploy/docker/${name === 'agent' ? 'agent' : 'service'}.Dockerfile`;
    const argument = name === 'agent' ? [] : ['--build-arg', `SERVICE=${name}`];
    await engine.docker(
      ['build', '--network=host', '--tag', tag, '--file', file, ...argument, '.'],
      { cwd: root },
    );
    sizes.set(tag, await sizeOf(engine, tag));
  }
  return sizes;
}

export async function sizeOf(engine: Engine, tag: string): Promise<number> {
  return Number(await engine.docker(['image', 'inspect', '--format', '{{.Size}}', tag]));
}

async function isThere(engine: Engine, tag: string): Promise<boolean> {
  return (await engine.docker(['images', '--quiet', tag])).trim() !== '';
}

async function buildStandIn(
  engine: Engine,
  tag: string,
  fill: (folder: string) => void,
): Promise<void> {
  if (await isThere(engine, tag)) return;
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-image-'));
  try {
    fill(folder);
    await engine.docker(['build', '--network=host', '--tag', tag, folder]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The one that this machine has. */
function npmFolder(): string {
  const command = execFileSync('sh', ['-c', 'command -v npm'], { encoding: 'utf8' }).trim();
  return join(realpathSync(command), '../..');
}
