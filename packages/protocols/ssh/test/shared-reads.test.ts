/** All sockets of a process are read into one buffer. Here it is overwritten all the time: nobody may look back. */
import { createHash, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { spoilSharedReads } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { run, ssh, sshOptions, startWithSshd, type Harness } from './harness.js';

const cleanup = new AsyncDisposableStack();
let harness: Harness;

beforeAll(async () => {
  const started = await startWithSshd({ config: ['RekeyLimit 2M'] });
  harness = started.harness;
  cleanup.use(started.sshd);
  cleanup.defer(() => harness.close());
  const spoiled = await spoilSharedReads();
  cleanup.defer(() => spoiled[Symbol.dispose]());
});

afterAll(() => cleanup.disposeAsync());

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

it('carries sessions side by side, with new keys every megabyte from both sides', async () => {
  const inputs = [1, 2, 3].map(() => randomBytes(6 << 20));
  const results = await Promise.all(
    inputs.map((input) =>
      ssh(harness, 'root@web-1', ['cat'], { input, flags: ['-o', 'RekeyLimit=1M'] }),
    ),
  );
  expect(results.map(({ stdout }) => sha256(stdout))).toEqual(inputs.map(sha256));
});

it('says and records a terminal and its command as they were', async () => {
  const command = 'seq 1 20000';
  const result = await ssh(harness, 'root@web-1', [command], { flags: ['-tt'] });
  const lines = Array.from({ length: 20_000 }, (_, i) => `${i + 1}\r\n`).join('');
  expect(sha256(result.stdout)).toBe(sha256(Buffer.from(lines)));
  await harness.waitForEvent('ssh.command_ended');
  expect(harness.recordings.at(-1)).toMatchObject({ command, output: lines });
});

it.each([[['-s']], [['-O']]])('moves files with scp %j and names them', async (flags) => {
  const [source, there, back] = ['source', 'there', 'back'].map((name) =>
    join(harness.dir, `${name}${flags.join('')}`),
  ) as [string, string, string];
  await writeFile(source, randomBytes(6 << 20));
  const before = harness.events.length;
  const target = `scp://${encodeURIComponent('root@web-1')}@127.0.0.1:${harness.port}/${there}`;
  const options = [...flags, ...sshOptions(harness.files)];
  for (const [from, to] of [
    [source, target],
    [target, back],
  ] as const)
    expect(await run('scp', [...options, from, to])).toMatchObject({ code: 0 });
  expect(sha256(await readFile(back))).toBe(sha256(await readFile(source)));
  const texts = JSON.stringify(harness.events.slice(before));
  expect(texts).toContain(flags[0] === '-s' ? there : `scp -t ${there}`);
});
