/** Stock OpenSSH against Debian's sshd behind an agent: SSH-01, 03, 06, 10, 14, 18, FT-01, and the bulk of Must-show B. */
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { lastSession, sessionEvents, waitForEvent } from '../stack/events.js';
import type { Person } from '../stack/person.js';
import { eventually, run } from '../stack/run.js';
import { createWorld, type World } from '../stack/world.js';

const sha = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const target = 'deploy@web-1';

describe('stock OpenSSH', () => {
  let world: World;
  let alice: Person;
  beforeAll(async () => {
    world = await createWorld({ sshd: { acceptEnv: ['LANG', 'SECRET', 'LD_PRELOAD'] } });
    alice = world.person('alice');
  });
  afterAll(async () => world[Symbol.asyncDispose]());

  it('keeps stdout, stderr and the exit code apart (SSH-01)', async () => {
    const from = new Date().toISOString();
    const command = 'printf out; printf err >&2; exit 3';
    const result = await alice.ssh([target, command]);
    expect(result).toMatchObject({ stdout: 'out', stderr: 'err', code: 3 });
    const events = await lastSession(world.ada, { user: 'alice', target: 'web-1', from });
    expect(events.map(({ type }) => type)).toEqual([
      'session.started',
      'ssh.command_started',
      'ssh.command_ended',
      'session.ended',
    ]);
    expect(events[1]?.data['command']).toBe(command);
    expect(events[2]?.data['exit_code']).toBe(3);
    expect(events[0]?.target).toMatchObject({ kind: 'node', name: 'web-1' });
  });

  it('adds nothing to stderr where other programs are told of further authorities of the web', async () => {
    const env = { NODE_EXTRA_CA_CERTS: '/nowhere.pem' };
    expect(await alice.ssh([target, 'true'], { env })).toMatchObject({ stderr: '', code: 0 });
  });

  it.each([0, 7, 42, 127, 255])('passes exit code %i on (SSH-03)', async (code) => {
    expect((await alice.ssh([target, `exit ${code}`])).code).toBe(code);
  });

  it('carries 64 MiB each way unchanged, with a rekey every MB (SSH-14)', async () => {
    const bytes = randomBytes(64 << 20);
    const back = await alice.ssh(['-o', 'RekeyLimit=1M', target, 'cat'], {
      stdin: bytes,
      timeoutMs: 90_000,
    });
    expect(back.code).toBe(0);
    expect(sha(back.stdoutBytes)).toBe(sha(bytes));
    bytes[1 << 20] = (bytes[1 << 20] ?? 0) ^ 1;
    expect(sha(back.stdoutBytes)).not.toBe(sha(bytes));
  });

  it('carries 64 MiB of stdout and of stderr, each whole', async () => {
    const result = await alice.ssh(
      [
        target,
        'head -c 67108864 /dev/zero | tr "\\0" o & head -c 67108864 /dev/zero | tr "\\0" e >&2; wait',
      ],
      { timeoutMs: 90_000 },
    );
    expect(result.code).toBe(0);
    expect(result.stdout.length).toBe(64 << 20);
    expect(result.stderr.length).toBe(64 << 20);
    expect(/^o+$/.test(result.stdout)).toBe(true);
  });

  it('passes standard input that begins at once with any byte', async () => {
    const bytes = Buffer.from([3, 0, 4, 0x1b, 10, 255]);
    expect((await alice.ssh([target, 'cat'], { stdin: bytes })).stdoutBytes).toEqual(bytes);
  });

  it('gets and puts files by sftp and scp, old and new, and says so in the audit (FT-01)', async () => {
    const config = await alice.sshConfig();
    const local = join(world.home.folder('files'), 'random');
    writeFileSync(local, randomBytes(3 << 20));
    const dir = '/home/deploy';
    const from = new Date().toISOString();
    const put = await run('sftp', ['-F', config, '-b', '-', target], {
      stdin: `put ${local} ${dir}/by-sftp\nget ${dir}/by-sftp ${local}.back\n`,
      timeoutMs: 60_000,
    });
    expect(put.code).toBe(0);
    expect(sha(readFileSync(`${local}.back`))).toBe(sha(readFileSync(local)));
    const upload = await waitForEvent(
      world.ada,
      { type: 'ssh.file_transferred', user: 'alice', from },
      ({ data }) => data['direction'] === 'upload',
    );
    expect(upload.data).toMatchObject({ path: `${dir}/by-sftp`, bytes: 3 << 20 });
    for (const flags of [[], ['-O']]) {
      expect(
        (
          await run('scp', ['-F', config, ...flags, local, `${target}:${dir}/by-scp`], {
            timeoutMs: 60_000,
          })
        ).code,
      ).toBe(0);
      expect(
        (
          await run('scp', ['-F', config, ...flags, `${target}:${dir}/by-scp`, `${local}.scp`], {
            timeoutMs: 60_000,
          })
        ).code,
      ).toBe(0);
      expect(sha(readFileSync(`${local}.scp`))).toBe(sha(readFileSync(local)));
    }
    const missing = await run('sftp', ['-F', config, '-b', '-', target], {
      stdin: `get ${dir}/missing\n`,
    });
    expect(missing.code).not.toBe(0);
    expect(missing.stderr + missing.stdout).toContain('not found');
  });

  it('syncs a tree by rsync, and again with nothing to do (FT-05)', async () => {
    const config = await alice.sshConfig();
    const tree = world.home.folder('tree');
    for (let n = 0; n < 200; n += 1) writeFileSync(join(tree, `file-${n}`), randomBytes(512));
    const sync = async (flags: string[]) =>
      run(
        'rsync',
        ['-a', '-e', `ssh -F ${config}`, ...flags, `${tree}/`, `${target}:/home/deploy/tree/`],
        { timeoutMs: 60_000 },
      );
    expect((await sync([])).code).toBe(0);
    const second = await sync(['-i']);
    expect(second).toMatchObject({ code: 0, stdout: '' });
    writeFileSync(join(tree, 'file-7'), 'changed');
    expect((await sync(['-i', '--checksum'])).stdout).toContain('file-7');
  });

  it('works without the CLI: by jump host and by user name (SSH-18)', async () => {
    const status = await alice.json<Record<string, string>>(['status']);
    const [host, port] = world.home.ready.proxyAddr.split(':');
    const known = join(world.home.dir, 'known_hosts_clear');
    writeFileSync(known, readFileSync(status['knownHostsFile'] ?? '', 'utf8'));
    const file = join(world.home.dir, 'plain-config');
    writeFileSync(
      file,
      [
        'Host *',
        `  IdentityFile ${status['sshKeyFile']}`,
        `  CertificateFile ${status['sshCertFile']}`,
        '  IdentitiesOnly yes',
        `  UserKnownHostsFile ${known}`,
        '  GlobalKnownHostsFile /dev/null',
        '  StrictHostKeyChecking yes',
        '  BatchMode yes',
        '',
      ].join('\n'),
    );
    const plain = ['-F', file];
    const jump = await run('ssh', [
      ...plain,
      '-J',
      `alice@${host}:${port}`,
      target,
      'echo jumped; exit 4',
    ]);
    expect(jump.stderr).not.toContain('denied');
    expect(jump).toMatchObject({ stdout: 'jumped\n', code: 4 });
    const direct = await run('ssh', [
      ...plain,
      '-p',
      port ?? '',
      `${target}@${host}`,
      'echo direct; exit 6',
    ]);
    expect(direct).toMatchObject({ stdout: 'direct\n', code: 6 });
    const hidden = await run('ssh', [...plain, '-p', port ?? '', `root@web-2@${host}`, 'true']);
    expect(hidden.code).toBe(255);
    expect(hidden.stderr).toContain('no such target or no access');
    const alone = await run('ssh', [...plain, '-p', port ?? '', `alice@${host}`]);
    expect(alone.code).not.toBe(0);
    expect(alone.stderr + alone.stdout).toContain('this is a gateway: use -J');
  });

  it('runs ten channels over one connection without cross-talk (SSH-06)', async () => {
    const config = await alice.sshConfig();
    const from = new Date().toISOString();
    const control = join(world.home.dir, 'ctl');
    const shared = [
      '-F',
      config,
      '-o',
      `ControlPath=${control}`,
      '-o',
      'ControlMaster=auto',
      '-o',
      'ControlPersist=60',
    ];
    expect((await run('ssh', [...shared, target, 'true'])).code).toBe(0);
    const results = await Promise.all(
      Array.from({ length: 10 }, async (_none, n) =>
        run('ssh', [...shared, target, `yes pattern-${n} | head -c 1000000`], {
          timeoutMs: 60_000,
        }),
      ),
    );
    results.forEach((result, n) => {
      expect(result.stdout.length).toBe(1_000_000);
      expect(result.stdout.replaceAll(`pattern-${n}\n`, '').length).toBeLessThan(12);
    });
    await run('ssh', [...shared, '-O', 'exit', target]);
    const ended = await waitForEvent(world.ada, { type: 'session.ended', user: 'alice', from });
    const events = await sessionEvents(world.ada, ended.sessionId ?? '');
    expect(events.filter(({ type }) => type === 'ssh.command_started')).toHaveLength(11);
    expect(events.filter(({ type }) => type === 'ssh.command_ended')).toHaveLength(11);
    expect(events.map(({ sequence }) => sequence)).toEqual(
      events.map((_event, index) => index + 1),
    );
  });

  it('passes harmless environment on and drops what would change the program (SSH-10)', async () => {
    const from = new Date().toISOString();
    const result = await alice.ssh([
      '-o',
      'SetEnv=LANG=x SECRET=canary-env LD_PRELOAD=/x PATH=/x',
      target,
      'printf "%s|%s|%s" "$LANG" "$SECRET" "$LD_PRELOAD"',
    ]);
    expect(result.stdout).toBe('x|canary-env|');
    const denied = await waitForEvent(world.ada, {
      type: 'ssh.request_denied',
      user: 'alice',
      from,
    });
    expect(JSON.stringify(denied)).not.toContain('/x');
  });

  it('lets a stopped sshd be told from an offline agent, on stderr, with 255 (SSH-07)', async () => {
    await world.web1.stop();
    const from = new Date().toISOString();
    const refused = await alice.ssh([target, 'true']);
    expect(refused.code).toBe(255);
    expect(refused.stderr).toContain('could not reach web-1: connection refused');
    await waitForEvent(
      world.ada,
      { type: 'session.connect_failed', user: 'alice', from },
      ({ reason }) => reason === 'refused',
    );
    await world.web1.start();
    expect((await alice.ssh([target, 'true'])).code).toBe(0);
  });

  it('refuses a target whose host key is not the expected one (SSH-16)', async () => {
    await world.web1.stop();
    await world.web1.makeHostKey();
    await world.web1.start();
    const from = new Date().toISOString();
    const result = await alice.ssh([target, 'true']);
    expect(result.code).toBe(255);
    expect(result.stderr).toContain('host key of web-1 is not the expected one');
    expect(result.stderr).toContain('SHA256:');
    await waitForEvent(
      world.ada,
      { type: 'session.connect_failed', user: 'alice', from },
      ({ reason }) => reason === 'host_key',
    );
  });

  it('says that the agent is offline when it is', async () => {
    await world.agents.get('a1')?.stop();
    const result = await eventually('offline', async () => {
      const tried = await alice.ssh([target, 'true']);
      return tried.stderr.includes('agent for web-1 is offline') ? tried : undefined;
    });
    expect(result.code).toBe(255);
  });
});
