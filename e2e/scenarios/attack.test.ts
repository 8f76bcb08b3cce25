/** What an attacker tries at the doors of one cluster; each attempt with the same thing done rightly beside it. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';

import { loginRaw, type RawAnswer, type RawRequest } from '@gatehouse/protocol-ssh/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { readCredential } from '../stack/credential.js';
import { openDoor, request, statusOf } from '../stack/door.js';
import { searchEvents, waitForEvent } from '../stack/events.js';
import { root } from '../stack/installation.js';
import type { Person } from '../stack/person.js';
import { createWorld, type World } from '../stack/world.js';

const node = { logins: ['deploy'], node_labels: { env: 'staging' } };
const role = (name: string, spec: object) => ({
  kind: 'role',
  version: 'v1',
  metadata: { name },
  spec,
});
const noFiles = role('no-files', { options: { file_transfer: 'none' }, allow: node });
const anyLogin = role('any-login', {
  allow: { ...node, logins: ['*'] },
  deny: { logins: ['root'] },
});

/** SSH_FXP_INIT, version 3. */
const sftpHello = Buffer.from('000000050100000003', 'hex');

let world: World;
let port: number;
beforeAll(async () => {
  world = await createWorld({
    people: { alice: ['dev'], mallory: ['no-files'], peter: ['any-login'] },
    roles: [noFiles, anyLogin],
    sshd: { acceptEnv: ['*'] },
    only: 'staging',
  });
  port = Number(world.home.ready.proxyAddr.split(':')[1]);
}, 180_000);
afterAll(async () => world[Symbol.asyncDispose]());

async function logInRaw(person: Person, userName: string) {
  return loginRaw({ port, userName, ...(await readCredential(person)) });
}

async function askOnce(
  person: Person,
  userName: string,
  requests: readonly RawRequest[],
): Promise<RawAnswer> {
  using client = await logInRaw(person, userName);
  const channel = await client.openSession();
  return await channel.ask(requests, 1_500);
}

const exec = (command: string) => ({ name: 'exec', fields: [command] });
const sftp = (name: string) => ({ name: 'subsystem', fields: [name], data: sftpHello });

describe('names that a target reads in another way', () => {
  it.each(['sftp', 'sftp\0'])('give no files by the name %j (FT-04)', async (name) => {
    const mallory = world.person('mallory');
    const answer = await askOnce(mallory, 'deploy@web-1', [sftp(name)]);
    expect(answer.stdout).toBe('');
    const allowed = await askOnce(world.person('alice'), 'deploy@web-1', [sftp('sftp')]);
    expect(allowed.stdout).toContain('posix-rename@openssh.com');
  });

  it('set no variable that a shell obeys (SSH-10)', async () => {
    const variables = ['BASH_ENV\0', 'LD_PRELOAD\0', 'BASH_ENV', 'HARMLESS'];
    const requests = variables.map((name) => ({ name: 'env', fields: [name, '/tmp/evil'] }));
    const answer = await askOnce(world.person('alice'), 'deploy@web-1', [
      ...requests,
      exec('/usr/bin/env'),
    ]);
    expect(answer.granted).toEqual([false, false, false, true, true]);
    expect(answer.stdout).toContain('HARMLESS=/tmp/evil');
    expect(answer.stdout).not.toContain('BASH_ENV');
  });

  it('log in as nobody whom a deny names (RBC-03)', async () => {
    const peter = world.person('peter');
    for (const login of ['root', 'root\0', 'ROOT', 'root ', '\0root', '0', 'root\ufeff'])
      await expect(logInRaw(peter, `${login}@web-1`)).rejects.toThrow();
    expect((await askOnce(peter, 'deploy@web-1', [exec('id -un')])).stdout).toBe('deploy\n');
    const started = await searchEvents(world.ada, { type: 'session.started', user: 'peter' });
    expect(started.map(({ data }) => data['principal'])).toEqual(['deploy']);
  });
});

/** Paths of all methods that have a public door, from the proto files. */
function readMethods(): string[] {
  const folder = join(root, 'proto/gatehouse');
  return ['auth', 'audit', 'tunnel'].flatMap((part) =>
    readdirSync(join(folder, part, 'v1')).flatMap((file) => {
      const text = readFileSync(join(folder, part, 'v1', file), 'utf8');
      const service = /^service (\w+)/m.exec(text)?.[1];
      return [...text.matchAll(/^ {2}rpc (\w+)/gm)].map(
        ([, method]) => `/gatehouse.${part}.v1.${service}/${method}`,
      );
    }),
  );
}

describe('the doors behind the port', () => {
  it('answer whoever has no certificate on the four methods meant for them alone (CRT-08)', async () => {
    const methods = readMethods();
    expect(methods.length).toBeGreaterThan(30);
    for (const door of ['auth', 'audit'] as const) {
      const session = openDoor(world.home, door);
      const answered: string[] = [];
      for (const path of methods) {
        const status = await statusOf(session, path);
        // 7: refused before the handler, or by it; 12: not offered here.
        if (status !== '12') answered.push(`${path.split('/').at(-1)} ${status}`);
      }
      session.destroy();
      const open = answered.filter((text) => !text.endsWith(' 7'));
      expect(open.toSorted()).toEqual(
        door === 'audit' ? [] : ['AcceptInvite 5', 'GetInvite 5', 'Login 16'],
      );
    }
  });

  it('keep little of what is never finished (LIM-04)', async () => {
    const session = openDoor(world.home, 'auth');
    const closed = new Promise((resolve) => {
      session.once('close', () => resolve('closed'));
    });
    const half = Buffer.alloc(5 + 3_000_000);
    half.writeUInt32BE(4_000_000, 1);
    for (let count = 0; count < 20; count += 1)
      request(session, '/gatehouse.auth.v1.LoginService/Login').write(half);
    expect(await closed).toBe('closed');
    const other = openDoor(world.home, 'auth');
    expect(await statusOf(other, '/gatehouse.auth.v1.LoginService/Login')).toBe('16');
    other.destroy();
  });
});

/** The answer to a preface, or '' where the connection was closed. */
async function sendPreface(person: Person, json: string): Promise<string> {
  const status = await person.json<Record<string, string>>(['status']);
  const socket = connectTls({
    port,
    host: '127.0.0.1',
    servername: 'localhost',
    rejectUnauthorized: false,
    ALPNProtocols: ['gatehouse-ssh'],
    key: readFileSync(status['tlsKeyFile'] ?? ''),
    cert: readFileSync(status['tlsCertFile'] ?? ''),
  });
  socket.on('error', () => undefined);
  const body = Buffer.from(json);
  const head = Buffer.alloc(2);
  head.writeUInt16BE(body.length, 0);
  socket.write(Buffer.concat([head, body]));
  let got = Buffer.alloc(0);
  for await (const chunk of socket) {
    got = Buffer.concat([got, chunk as Buffer]);
    if (got.length >= 2 && got.length >= 2 + got.readUInt16BE(0)) break;
  }
  socket.destroy();
  return got.subarray(2).toString();
}

describe('the preface', () => {
  it('leads to one target, whatever else it says (D18)', async () => {
    const alice = world.person('alice');
    const hidden = [
      '{"v":1,"target":"web-1","target":"web-9","login":"deploy"}',
      '{"v":1,"__proto__":{"target":"web-1"},"target":"web-9","login":"deploy"}',
      String.raw`{"v":1,"target":"web-1\u0000","login":"deploy"}`,
      String.raw`{"v":1,"target":"web-1\n","login":"deploy"}`,
      '{"v":1,"target":"web-1.","login":"deploy"}',
      '{"v":1,"target":"web-1.home.home","login":"deploy"}',
      '{"v":1,"target":"ｗeb-1","login":"deploy"}',
    ];
    for (const json of hidden)
      expect(await sendPreface(alice, json), json).toContain('TARGET_HIDDEN');
    const other = String.raw`{"v":1,"target":"web-1","login":"deploy\u0000"}`;
    expect(await sendPreface(alice, other)).toContain('LOGIN_NOT_ALLOWED');
    expect(await sendPreface(alice, '['.repeat(4000))).toContain('PREFACE_INVALID');
    for (const name of ['web-1', 'WEB-1', 'web-1.home'])
      expect(await sendPreface(alice, `{"v":1,"target":"${name}","login":"deploy"}`)).toContain(
        '"session":"ses_',
      );
  });
});

describe('what others did', () => {
  it("is not read by a stranger's page, filter or id (AUD-12)", async () => {
    const alice = world.person('alice');
    const page = async (person: Person) =>
      (await person.json<{ nextPage: string }>(['audit', 'search', '--limit', '1'])).nextPage;
    const foreign = await page(world.ada);
    const refused = await alice.gate(['audit', 'search', '--limit', '1', '--page', foreign]);
    expect(refused.stderr).toContain('not for this search');
    const moved = ['audit', 'search', '--limit', '1', '--user', 'ada', '--page', await page(alice)];
    expect((await alice.gate(moved)).stderr).toContain('not for this search');
    const seen = await searchEvents(alice, {});
    expect([...new Set(seen.map(({ actor }) => actor.name))]).toEqual(['alice']);
    const terminal = { name: 'pty-req', fields: ['xterm', 80, 24, 0, 0, Buffer.of(0)] };
    await askOnce(alice, 'deploy@web-1', [terminal, exec('echo mine')]);
    const { data } = await waitForEvent(world.ada, { type: 'recording.completed', user: 'alice' });
    const id = String(data['recordingId']);
    const stolen = await world.person('peter').gate(['recordings', 'export', id, '--as', 'text']);
    expect(stolen).toMatchObject({ code: 1, stdout: '' });
    const own = await alice.gate(['recordings', 'export', id, '--as', 'text']);
    expect(own.stdout).toContain('mine');
  });
});

describe('guessing', () => {
  it('is counted once, however the name is written and however many guess at once (LIM-01)', async () => {
    const mallory = world.person('mallory');
    const guess = async (name: string, password: string, code: string) =>
      world.home.gate(world.home.folder(`guess-${name}`), [
        'login',
        '--user',
        name,
        '--password-file',
        password,
        '--otp',
        code,
      ]);
    const names = ['mallory', 'MALLORY', 'Mallory', 'mAllory', 'maLlory', 'ｍallory'];
    const wrong = world.person('peter').passwordFile;
    await Promise.all(names.slice(0, 5).map(async (name) => guess(name, wrong, '123456')));
    const right = await guess('mallory', mallory.passwordFile, await mallory.otp());
    expect(right.code).not.toBe(0);
    const unknown = await guess('nobody', wrong, '123456');
    const text = (stderr: string) => stderr.replaceAll(/err_[0-9a-f]+/g, 'err_');
    expect(text(right.stderr)).toBe(text(unknown.stderr));
    const alice = world.person('alice');
    const code = await alice.otp();
    const race = await Promise.all(
      [1, 2, 3].map(async () => guess('alice', alice.passwordFile, code)),
    );
    expect(race.filter((result) => result.code === 0)).toHaveLength(1);
  });
});

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile() === true);
}

describe('after all that', () => {
  it('every log line is one JSON object, and no secret is on the disk in clear (LIM-08, AUD-09)', () => {
    const lines = world.home.log.split('\n').filter((line) => line.startsWith('{'));
    expect(lines.length).toBeGreaterThan(20);
    for (const line of lines) expect(JSON.parse(line)).toHaveProperty('level');
    const people = [...world.people.values(), world.ada];
    const passwords = people.map(({ password }) => password);
    const secrets = people.map(({ name }) => {
      const file = join(world.home.dir, 'passwords', `${name}.totp`);
      return /secret=([A-Z2-7]+)/.exec(readFileSync(file, 'utf8'))?.[1] ?? 'no secret';
    });
    const files = [...filesBelow(world.home.dataDir), world.home.logFile];
    const holding = files.filter((file) => {
      const bytes = readFileSync(file);
      return [...passwords, ...secrets].some((secret) => bytes.includes(secret));
    });
    expect(holding).toEqual([]);
    // Control: the same search finds what is there.
    const own = filesBelow(join(world.home.dir, 'passwords'));
    expect(own.some((file) => readFileSync(file).includes(passwords[0] ?? ''))).toBe(true);
  });
});
