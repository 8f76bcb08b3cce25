/**
 * Whole files, small and large, both ways, by every program that people move files with (FT-01, FT-02): a proxy that
 * stalls at its first full window passes every small test. And a terminal's flood, recorded whole.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { waitForEvent } from '../stack/events.js';
import type { Person } from '../stack/person.js';
import { eventually, run } from '../stack/run.js';
import { createWorld, type World } from '../stack/world.js';

const target = 'deploy@web-1';
const sizesMib = [1, 64];
/** For one program of each shape, files over a channel of their own and a plain pipe: the others add minutes and nothing else. */
const largeMib = 256;
const carriesLarge = ['scp', 'tar'];
/** Far more than any takes that moves at all, far less than the life of a stalled one. */
const timeoutMs = 120_000;

async function sha256(file: string): Promise<string> {
  const { code, stdout } = await run('sha256sum', [file]);
  expect(code).toBe(0);
  return stdout.slice(0, 64);
}

async function fillRandom(file: string, mib: number): Promise<void> {
  const stream = createWriteStream(file);
  for (let n = 0; n < mib; n += 1)
    if (!stream.write(randomBytes(1 << 20))) await once(stream, 'drain');
  stream.end();
  await once(stream, 'close');
}

describe('a transfer', () => {
  let world: World;
  let alice: Person;
  let config: string;
  let local: string;
  let remote: string;
  beforeAll(async () => {
    world = await createWorld({ only: 'staging' });
    alice = world.person('alice');
    config = await alice.sshConfig();
    local = world.home.folder('transfers');
    remote = (await alice.ssh([target, 'mktemp -d'])).stdout.trim();
    for (const mib of [...sizesMib, largeMib]) await fillRandom(join(local, `${mib}`), mib);
  }, 180_000);
  afterAll(async () => {
    await run('rm', ['-rf', remote]);
    await world[Symbol.asyncDispose]();
  });

  /** Each program as the commands that put `from` to the target as `name`, and get it back to `to`. */
  const ssh = () => `ssh -F ${config}`;
  const ways: Record<string, (paths: { from: string; name: string; to: string }) => string[]> = {
    scp: ({ from, name, to }) => [
      `scp -F ${config} ${from} ${target}:${name}`,
      `scp -F ${config} ${target}:${name} ${to}`,
    ],
    'scp -O': ({ from, name, to }) => [
      `scp -O -F ${config} ${from} ${target}:${name}`,
      `scp -O -F ${config} ${target}:${name} ${to}`,
    ],
    sftp: ({ from, name, to }) => [
      `echo put ${from} ${name} | sftp -F ${config} -b - ${target}`,
      `echo get ${name} ${to} | sftp -F ${config} -b - ${target}`,
    ],
    rsync: ({ from, name, to }) => [
      `rsync -e '${ssh()}' ${from} ${target}:${name}`,
      `rsync -e '${ssh()}' ${target}:${name} ${to}`,
    ],
    tar: ({ from, name, to }) => [
      `tar -cf - -C ${local} ${from.slice(local.length + 1)} | ${ssh()} ${target} 'tar -xOf - > ${name}'`,
      `${ssh()} ${target} 'tar -cf - -P ${name}' | tar -xOPf - > ${to}`,
    ],
  };

  for (const [program, commands] of Object.entries(ways)) {
    it.each([...sizesMib, ...(carriesLarge.includes(program) ? [largeMib] : [])])(
      `by ${program} of %i MiB arrives whole, both ways`,
      async (mib) => {
        const paths = {
          from: join(local, `${mib}`),
          name: join(remote, 'file'),
          to: join(local, 'back'),
        };
        const [put = '', get = ''] = commands(paths);
        const expected = await sha256(paths.from);
        for (const [command, result] of [
          [put, paths.name],
          [get, paths.to],
        ] as const) {
          await run('rm', ['-f', result]);
          const done = await run('bash', ['-c', `set -o pipefail; ${command}`], { timeoutMs });
          expect(done, done.stderr).toMatchObject({ code: 0 });
          expect(await sha256(result)).toBe(expected);
        }
      },
      2 * timeoutMs + 30_000,
    );
  }

  it(
    'of 32 MiB through a terminal arrives whole and is recorded whole',
    async () => {
      await run('cp', [join(local, '64'), join(remote, 'file')]);
      const from = new Date().toISOString();
      const command = `head -c ${32 << 20} ${join(remote, 'file')} | base64`;
      const shown = await alice.ssh(['-tt', target, command], { timeoutMs });
      expect(shown.code).toBe(0);
      const expected = await run('bash', ['-c', command]);
      expect(shown.stdout.replaceAll('\r\n', '\n') === expected.stdout).toBe(true);
      const completed = await waitForEvent(
        world.ada,
        { type: 'recording.completed', user: 'alice', from },
        undefined,
        30_000,
      );
      expect(completed.data).toMatchObject({ bytes: shown.stdoutBytes.length });
      const id = String(completed.data['recordingId']);
      await eventually(
        'every chunk to be stored',
        async () => {
          const all = await alice.json<{ id: string; complete: boolean }[]>(['recordings', 'ls']);
          return all.find((one) => one.id === id)?.complete;
        },
        60_000,
      );
      const played = await alice.gate(['recordings', 'export', id], { timeoutMs });
      expect(played).toMatchObject({ code: 0, stderr: '' });
      const output = played.stdout
        .trim()
        .split('\n')
        .slice(1)
        .map((line) => JSON.parse(line) as [number, string, string])
        .filter(([, kind]) => kind === 'o')
        .map(([, , text]) => text)
        .join('');
      expect(output === shown.stdout).toBe(true);
    },
    3 * timeoutMs,
  );
});
