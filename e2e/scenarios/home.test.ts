/** Life of a cluster at home: OPS-09, OPS-10, OPS-11. */
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { Home } from '../stack/home.js';
import { root } from '../stack/installation.js';
import { createAdmin, createPerson, type Person } from '../stack/person.js';
import { run } from '../stack/run.js';

const start = async (flags: string[], env: Record<string, string> = {}) =>
  run(
    process.execPath,
    ['--conditions=source', '--import', 'tsx', join(root, 'apps/standalone/src/main.ts'), ...flags],
    { cwd: root, timeoutMs: 60_000, env },
  );

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** The database is a thread, which only its own process can end. */
const endWorkers =
  "process.on('worker', (worker) => process.on('SIGUSR2', () => worker.terminate()));";

describe('a cluster at home (OPS-11)', () => {
  let home: Home;
  let ada: Person;
  beforeAll(async () => {
    // An address that is not localhost's: the host's own agent has to find the port there, too.
    home = await new Home({
      flags: ['--listen', '127.0.0.2'],
      env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(endWorkers)}` },
    }).start();
    ada = await createAdmin(home);
  });
  afterAll(async () => home[Symbol.asyncDispose]());

  it('writes ready.json for its user alone, and refuses a second start on the same directory', async () => {
    expect(statSync(join(home.dataDir, 'ready.json')).mode & 0o777).toBe(0o600);
    const second = await start(['--data-dir', home.dataDir, '--port', '0']);
    expect(second.code).toBe(1);
    expect(second.stderr).toContain(`in use by process ${home.pid}`);
  });

  it('keeps what was made over an orderly stop and over kill -9', async () => {
    const kept = await createPerson(ada, 'kept', ['access']);
    expect(await home.stop('SIGINT')).toBe(0);
    expect(existsSync(join(home.dataDir, 'ready.json'))).toBe(false);
    await home.start();
    expect(home.ready.adminInviteUrl).toBeNull();
    await kept.login();
    const later = await createPerson(ada, 'later', ['access']);
    await home.stop('SIGKILL');
    await home.start();
    await later.login();
    await expect
      .poll(async () => later.json(['ls']))
      .toMatchObject([{ kind: 'node', status: 'online' }]);
  });

  it('says in one line what stands in the way', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address() as AddressInfo;
    const clash = await start(['--data-dir', join(home.dir, 'other'), '--port', String(port)]);
    taken.close();
    expect(clash).toMatchObject({ code: 1 });
    expect(clash.stderr).toContain(`port ${port} is taken`);
    expect(clash.stderr).not.toContain('    at ');
    const file = join(home.dir, 'a-file');
    writeFileSync(file, '');
    const unwritable = await start(['--data-dir', join(file, 'x'), '--port', '0']);
    expect(unwritable.code).toBe(1);
    expect(unwritable.stderr).toContain("can't use");
    const unknown = await start(['--nope']);
    expect(unknown.code).toBe(2);
    expect((await start(['--help'])).code).toBe(0);
  });

  it('answers health on the private port alone (OPS-10)', async () => {
    const base = home.ready.metricsUrl;
    expect((await fetch(`${base}/healthz`)).status).toBe(200);
    const ready = await fetch(`${base}/readyz`);
    expect([ready.status, await ready.json()]).toEqual([
      200,
      expect.objectContaining({ status: 'ready', degraded: [] }),
    ]);
    expect(await (await fetch(`${base}/metrics`)).text()).toContain('gatehouse_session_active 0');
    for (const path of ['healthz', 'readyz', 'metrics']) {
      const outside = await run('curl', [
        '-sk',
        '-o',
        '/dev/null',
        '-w',
        '%{http_code}',
        `${home.ready.webUrl}/${path}`,
      ]);
      expect(outside.stdout).toBe('404');
    }
  });

  it("shows the cluster's public keys, and nothing secret, at the well-known place", async () => {
    const answer = await run('curl', ['-sk', `${home.ready.webUrl}/.well-known/gatehouse.json`]);
    expect(JSON.parse(answer.stdout)).toEqual({
      clusterName: 'home',
      caPins: [home.ready.caPin],
      caBundle: expect.stringContaining('BEGIN CERTIFICATE'),
      sshHostCa: [expect.stringMatching(/^ssh-ed25519 /)],
    });
  });

  // A process that stays without its database looks alive, and answers nobody.
  it('ends, and says why, where its database has ended', async () => {
    const { pid } = home;
    process.kill(pid, 'SIGUSR2');
    await expect.poll(() => isRunning(pid), { timeout: 30_000 }).toBe(false);
    expect(await home.stop()).toBe(1);
    expect(home.log).toContain('the database in');
    expect(home.log).toContain('has ended');
  });
});
