import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { expect, it, onTestFinished } from 'vitest';

const contenders = 4;
const rounds = 60;
const stepMs = 20;
const script = fileURLToPath(new URL('lock/contender.ts', import.meta.url));
const stale = [
  JSON.stringify({ pid: 999_999_999, started: '1', boot: 'x' }),
  // What a full disk or an older version left.
  '',
];

function startContender(folders: readonly string[]) {
  const child = spawn(
    process.execPath,
    ['--conditions=source', '--import', 'tsx', script, String(stepMs), ...folders],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  onTestFinished(() => void child.kill('SIGKILL'));
  const exit = once(child, 'exit').then(([code]) => {
    throw new Error(`a contender ended with ${code}`);
  });
  exit.catch(() => undefined);
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  return {
    stdin: child.stdin,
    /** All that it wrote, once that is so long. */
    async waitFor(length: number): Promise<string> {
      while (text.length < length) await Promise.race([once(child.stdout, 'data'), exit]);
      return text;
    },
  };
}

// Two that both find the lock of a killed process would both own its directory, and both write its database.
it('has one owner, however many take over what a killed process left', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'gatehouse-lock-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const folders = Array.from({ length: rounds }, (_, round) => {
    const folder = mkdtempSync(join(dir, 'round-'));
    writeFileSync(join(folder, 'lock'), stale[round % stale.length] ?? '');
    if (round % 3 === 0) writeFileSync(join(folder, 'lock.next'), stale[0] ?? '');
    return folder;
  });
  const children = folders.slice(0, contenders).map(() => startContender(folders));
  await Promise.all(children.map(async (child) => child.waitFor('ready '.length)));
  const firstAt = Date.now() + 100;
  for (const child of children) child.stdin.write(String(firstAt));
  const results = await Promise.all(
    children.map(async (child) => child.waitFor('ready '.length + rounds)),
  );
  const owners = folders.map(
    (_, round) => results.filter((result) => result.slice('ready '.length)[round] === '1').length,
  );
  expect(owners).toEqual(folders.map(() => 1));
  expect(folders.flatMap((folder) => readdirSync(folder))).toEqual(folders.map(() => 'lock'));
});
