import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { findFreePort } from '@gatehouse/kit/testing';
import { expect, it, onTestFinished } from 'vitest';

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));

it('turns, is not ready, and ends when it is told to, while auth-service is away', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'gatehouse-tunnel-start-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const [metrics, nobody] = [await findFreePort(), await findFreePort()];
  const file = join(dir, 'config.json');
  writeFileSync(join(dir, 'join'), randomBytes(32).toString('hex'));
  writeFileSync(
    file,
    JSON.stringify({
      cluster_name: 'test',
      listen: '127.0.0.1:0',
      public_listen: '127.0.0.1:0',
      metrics_listen: `127.0.0.1:${metrics}`,
      auth: { address: `127.0.0.1:${nobody}`, join_secret_file: join(dir, 'join') },
      state_dir: dir,
    }),
  );
  const child = spawn(
    process.execPath,
    ['--conditions=source', '--import', 'tsx', main, '--config', file],
    { stdio: 'ignore' },
  );
  onTestFinished(() => void child.kill('SIGKILL'));
  const exited = once(child, 'exit');
  const ask = async (path: string) => {
    const answer = await fetch(`http://127.0.0.1:${metrics}${path}`);
    return { status: answer.status, body: (await answer.json()) as object };
  };
  await expect
    .poll(async () => ask('/healthz').catch(() => undefined), { timeout: 40_000 })
    .toMatchObject({ status: 200 });
  expect(await ask('/readyz')).toEqual({
    status: 503,
    body: { status: 'not_ready', reasons: ['starting'], degraded: [] },
  });
  child.kill('SIGTERM');
  expect(await exited).toEqual([0, null]);
});
