/** What stock ssh never says or never shows: a client that speaks message by message. SSH-03, 04, 05, 12, 13, 20, 22. */
import { createHash, generateKeyPairSync } from 'node:crypto';
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import {
  encodeFields,
  loginRaw,
  messageType,
  RawConnection,
  WireReader,
} from '@gatehouse/protocol-ssh/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { kexMethod, shakeHandsInClear, strictMarker } from '../stack/clear-handshake.js';
import { readCredential } from '../stack/credential.js';
import { searchEvents, sessionEvents, waitForEvent, type Event } from '../stack/events.js';
import type { Person } from '../stack/person.js';
import { eventually } from '../stack/run.js';
import { createWorld, type World } from '../stack/world.js';

const target = 'deploy@web-1';
const sha = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const now = () => new Date().toISOString();

let world: World;
let alice: Person;
let port: number;
/** A folder in which commands at the target leave marks. */
let marks: string;
beforeAll(async () => {
  world = await createWorld({
    people: { alice: ['dev'], bob: ['dev'], gus: ['approver'] },
    only: 'staging',
  });
  alice = world.person('alice');
  port = Number(world.home.ready.proxyAddr.split(':')[1]);
  marks = mkdtempSync(join(tmpdir(), 'gatehouse-marks-'));
  chmodSync(marks, 0o777);
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
  rmSync(marks, { recursive: true, force: true });
});

async function logIn(): Promise<RawConnection> {
  return loginRaw({ port, userName: target, ...(await readCredential(alice)) });
}

function start(client: RawConnection, channel: number, command: string): void {
  client.send(messageType.channelRequest, channel, 'exec', true, command);
}

/** The events of the one session that somebody has begun since then, once it has ended. */
async function eventsSince(from: string, user = 'alice'): Promise<Event[]> {
  const started = await waitForEvent(world.ada, { type: 'session.started', user, from });
  const session = started.sessionId ?? '';
  await waitForEvent(world.ada, { type: 'session.ended', session });
  return sessionEvents(world.ada, session);
}

interface Ending {
  readonly stderr: Buffer;
  /** What came beside data, in order; each with the bytes of data before it. */
  readonly order: readonly (readonly [what: string, bytes: number])[];
  readonly code: number | undefined;
}

/** Reads a channel to its CLOSE. */
async function readToClose(client: RawConnection): Promise<Ending> {
  const { channelExtendedData, channelEof, channelClose, channelRequest } = messageType;
  const parts: Buffer[] = [];
  const order: [string, number][] = [];
  let bytes = 0;
  let code: number | undefined;
  for (;;) {
    const message = await client.next(
      channelExtendedData,
      channelEof,
      channelClose,
      channelRequest,
    );
    const reader = new WireReader(message, 5);
    if (message[0] === channelExtendedData) {
      reader.u32();
      const data = reader.string();
      parts.push(data);
      bytes += data.length;
    } else if (message[0] === channelRequest) {
      order.push([reader.text(), bytes]);
      reader.bool();
      code = reader.u32();
    } else if (message[0] === channelEof) order.push(['eof', bytes]);
    else return { stderr: Buffer.concat(parts), order: [...order, ['close', bytes]], code };
  }
}

/** Bytes of stderr that came through a small window, and nothing else, until the target has answered a question. */
async function readWhatIsHeld(client: RawConnection): Promise<Buffer> {
  const { channelExtendedData, channelRequest, channelEof, requestFailure } = messageType;
  const parts: Buffer[] = [];
  for (;;) {
    const message = await client.next(
      channelExtendedData,
      channelRequest,
      channelEof,
      requestFailure,
    );
    if (message[0] === requestFailure) return Buffer.concat(parts);
    expect(message[0]).toBe(channelExtendedData);
    // The target's answer comes behind everything that it has sent until then.
    if (parts.length === 0) client.send(messageType.globalRequest, 'keepalive@openssh.com', true);
    parts.push(Buffer.from(new WireReader(message, 9).string()));
  }
}

describe('the end of a command', () => {
  it.each([
    ['kill -9 $$', 'KILL'],
    ['kill -TERM $$', 'TERM'],
  ])('is a signal where `%s` ended it (SSH-04)', async (command, signal) => {
    const from = now();
    {
      using client = await logIn();
      const channel = await client.openSession();
      start(client, channel.id, command);
      const reader = new WireReader(await client.next(messageType.channelRequest), 5);
      expect([reader.text(), reader.bool(), reader.text()]).toEqual(['exit-signal', false, signal]);
      await client.next(messageType.channelClose);
    }
    const events = await eventsSince(from);
    expect(events.map(({ type }) => type)).toEqual([
      'session.started',
      'ssh.command_started',
      'ssh.command_ended',
      'session.ended',
    ]);
    expect(events[1]?.data['command']).toBe(command);
    expect(events[2]?.data['signal']).toBe(signal);
    expect(events[2]?.data).not.toHaveProperty('exit_code');
    expect((await alice.ssh([target, command])).code).not.toBe(0);
    // Control: a shell that ends by itself.
    using client = await logIn();
    start(client, (await client.openSession()).id, 'exit 0');
    expect(await readToClose(client)).toMatchObject({ code: 0 });
    expect((await alice.ssh([target, 'exit 0'])).code).toBe(0);
  });

  it.each([0, 42, 127, 255])('is exit code %i to this client as to ssh (SSH-03)', async (code) => {
    const from = now();
    {
      using client = await logIn();
      start(client, (await client.openSession()).id, `exit ${code}`);
      const { order, code: received } = await readToClose(client);
      expect(order.map(([what]) => what)).toEqual(['exit-status', 'eof', 'close']);
      expect(received).toBe(code);
    }
    const events = await eventsSince(from);
    const ended = events.filter(({ type }) => type === 'ssh.command_ended');
    expect(ended.map(({ data }) => data['exit_code'])).toEqual([code]);
    expect((await alice.ssh([target, `exit ${code}`])).code).toBe(code);
  });

  const sizes = [
    // More than every buffer on the way: the program itself waits for the window.
    ['4 MiB', 4 << 20, 'begun'],
    // What fits a pipe: the program is gone long before its output may leave.
    ['40 kB', 40_000, 'done'],
  ] as const;
  it.each(sizes)(
    'waits for the last byte of %s that a closed window holds back (SSH-05)',
    async (name, size, mark) => {
      const folder = mkdtempSync(join(marks, 'window-'));
      chmodSync(folder, 0o777);
      const command = [
        `touch ${folder}/begun`,
        `seq 1 1000000 | head -c ${size} >&2`,
        `touch ${folder}/done`,
        'exit 7',
      ].join('; ');
      let text = '';
      for (let n = 1; text.length < size; n += 1) text += `${n}\n`;
      const expected = sha(Buffer.from(text.slice(0, size)));
      const order = [
        ['exit-status', size],
        ['eof', size],
        ['close', size],
      ];
      const from = now();
      {
        using client = await logIn();
        const window = 1000;
        const channel = await client.openSession(window);
        start(client, channel.id, command);
        await eventually(`${name} ${mark}`, () => existsSync(join(folder, mark)));
        const held = await readWhatIsHeld(client);
        expect(held.length).toBeGreaterThan(0);
        expect(held.length).toBeLessThanOrEqual(window);
        expect(existsSync(join(folder, 'done'))).toBe(mark === 'done');
        client.send(messageType.channelWindowAdjust, channel.id, 64 << 20);
        const rest = await readToClose(client);
        expect(sha(Buffer.concat([held, rest.stderr]))).toBe(expected);
        expect(rest.order.map(([what, bytes]) => [what, bytes + held.length])).toEqual(order);
        expect(rest.code).toBe(7);
      }
      const events = await eventsSince(from);
      expect(events.find(({ type }) => type === 'ssh.command_ended')?.data).toMatchObject({
        exit_code: 7,
        bytesOut: size,
      });
      // Control: the same client with an open window.
      using client = await logIn();
      start(client, (await client.openSession(64 << 20)).id, command);
      const open = await readToClose(client);
      expect(sha(open.stderr)).toBe(expected);
      expect(open.order).toEqual(order);
    },
  );
});

describe('what nobody has heard of', () => {
  it('is refused where an answer is asked for, and an exec works after it (SSH-12)', async () => {
    const from = now();
    const { channelOpenFailure, requestSuccess, requestFailure, channelClose, channelData } =
      messageType;
    const { channelSuccess, channelFailure } = messageType;
    {
      using client = await logIn();
      client.send(messageType.channelOpen, 'x-nope@test', 5, 1000, 1000);
      const failure = await client.next(messageType.channelOpenConfirmation, channelOpenFailure);
      const unknownType = 3;
      expect([failure[0], failure.readUInt32BE(1), failure.readUInt32BE(5)]).toEqual([
        channelOpenFailure,
        5,
        unknownType,
      ]);
      client.send(messageType.globalRequest, 'nope-silent@test', false);
      client.send(messageType.globalRequest, 'nope-asking@test', true);
      const channel = await client.openSession();
      client.send(messageType.channelRequest, channel.id, 'nope-silent', false);
      client.send(messageType.channelRequest, channel.id, 'nope-asking', true);
      start(client, channel.id, 'echo after');
      const replies: number[] = [];
      let stdout = '';
      for (;;) {
        const message = await client.next(
          requestSuccess,
          requestFailure,
          channelSuccess,
          channelFailure,
          channelData,
          channelClose,
        );
        if (message[0] === channelClose) break;
        if (message[0] === channelData) stdout += new WireReader(message, 5).string().toString();
        else replies.push(message[0] ?? 0);
      }
      // Control: the exec.
      expect(stdout).toBe('after\n');
      expect(replies).toEqual([channelFailure, channelSuccess]);
    }
    const events = await eventsSince(from);
    const denied = events.filter(({ type }) => type === 'ssh.request_denied');
    expect(denied.map(({ data }) => data['name'])).toEqual([
      'x-nope@test',
      'nope-silent@test',
      'nope-asking@test',
      'nope-silent',
      'nope-asking',
    ]);
    expect(denied.every(({ outcome }) => outcome === 'denied')).toBe(true);
    expect(events.map(({ type }) => type)).toContain('ssh.command_ended');
  });
});

describe('who it is', () => {
  const none = ['ssh-connection', 'none'] as const;

  it('ends the connection when the user name changes, and not when the key does (SSH-13)', async () => {
    const before = world.web1.connections;
    const from = now();
    const credential = await readCredential(alice);
    {
      using client = await new RawConnection({ port }).ready();
      client.send(messageType.userauthRequest, target, ...none);
      await client.next(messageType.userauthFailure);
      client.prove('root@web-1', credential);
      const text = await client.ended();
      expect(text).toMatch(/^peer: user name changed during authentication/);
      const event = await waitForEvent(
        world.ada,
        { type: 'connection.refused', from },
        ({ reason }) => reason === 'user_changed',
      );
      const id = /err_[0-9a-f-]+/.exec(text)?.[0] ?? 'none';
      expect(event).toMatchObject({ outcome: 'denied', data: { errorId: id } });
      expect(world.home.log).toContain(id);
    }
    expect(world.web1.connections).toBe(before);
    // Control: a strange key first and the right one second, by one name.
    using client = await new RawConnection({ port }).ready();
    const { publicKey } = generateKeyPairSync('ed25519');
    const spki = publicKey.export({ type: 'spki', format: 'der' });
    const strange = encodeFields('ssh-ed25519', spki.subarray(-32));
    client.offer(target, { ...credential, certificate: strange });
    await client.next(messageType.userauthFailure);
    client.prove(target, credential);
    await client.accepted();
    const channel = await client.openSession();
    expect(await channel.ask([{ name: 'exec', fields: ['id -un'] }])).toMatchObject({
      stdout: 'deploy\n',
    });
    expect(await searchEvents(world.ada, { type: 'connection.refused', from })).toHaveLength(1);
  });

  it('is whoever holds the key that signed, with his roles alone (SSH-20)', async () => {
    const alices = await readCredential(alice);
    const offerBoth = async (other: Person, signer: Person) => {
      const client = await new RawConnection({ port }).ready();
      for (const credential of [alices, await readCredential(other)]) {
        client.offer(target, credential);
        await client.next(messageType.userauthPkOk);
      }
      client.prove(target, await readCredential(signer));
      return client;
    };
    const openAs = async (other: Person, signer: Person) => {
      const from = now();
      using client = await offerBoth(other, signer);
      await client.accepted();
      return await waitForEvent(world.ada, { type: 'session.started', from });
    };
    const bob = world.person('bob');
    expect((await openAs(bob, bob)).actor).toMatchObject({ kind: 'user', name: 'bob' });
    // gus may not log in anywhere, whatever else he offers.
    const gus = world.person('gus');
    const from = now();
    const before = world.web1.connections;
    using refused = await offerBoth(gus, gus);
    await expect(refused.accepted()).rejects.toThrow('no such target or no access');
    const denied = await waitForEvent(world.ada, { type: 'session.denied', from });
    expect(denied.actor).toMatchObject({ name: 'gus', roles: ['approver'] });
    expect(world.web1.connections).toBe(before);
    // Nor does anybody's signature go with somebody else's certificate.
    using mixed = await new RawConnection({ port }).ready();
    mixed.prove(target, alices, (await readCredential(gus)).key);
    await mixed.next(messageType.userauthFailure);
    // Control: signed with alice's it is alice's.
    expect((await openAs(gus, alice)).actor).toMatchObject({ kind: 'user', name: 'alice' });
    expect((await openAs(bob, alice)).actor).toMatchObject({ kind: 'user', name: 'alice' });
  });
});

describe('the key exchange', () => {
  const oldCiphers = ['chacha20-poly1305@openssh.com', 'aes256-cbc', 'aes128-ctr'];

  /** Of a refusal that a client in clear was told. */
  async function refusal(from: string, expected: string): Promise<Event> {
    return waitForEvent(
      world.ada,
      { type: 'connection.refused', from },
      ({ reason }) => reason === expected,
    );
  }

  it('may be an old one, in ciphers that need no more than that (SSH-22)', async () => {
    using old = await loginRaw({
      port,
      userName: target,
      ciphers: oldCiphers,
      isStrict: false,
      ...(await readCredential(alice)),
    });
    expect(old.isStrict).toBe(false);
    const channel = await old.openSession();
    expect(await channel.ask([{ name: 'exec', fields: ['echo old'] }])).toMatchObject({
      stdout: 'old\n',
    });
    const { offered } = await shakeHandsInClear({ port, kex: [kexMethod], ciphers: oldCiphers });
    const [, , toServer, toClient] = offered;
    for (const ciphers of [toServer, toClient]) {
      expect(ciphers).toContain('aes128-ctr');
      expect(ciphers?.filter((cipher) => /chacha|cbc/.test(cipher))).toEqual([]);
    }
  });

  it('is over at a message in between, where it is a strict one (SSH-22)', async () => {
    const strict = [kexMethod, strictMarker];
    const from = now();
    const broken = await shakeHandsInClear({ port, kex: strict, ignoreBetween: true });
    expect(broken.isAnswered).toBe(false);
    expect((await refusal(from, 'protocol')).outcome).toBe('denied');
    // Control: without that message, and without the promise that there will be none.
    expect((await shakeHandsInClear({ port, kex: strict })).isAnswered).toBe(true);
    const lenient = await shakeHandsInClear({ port, kex: [kexMethod], ignoreBetween: true });
    expect(lenient.isAnswered).toBe(true);
  });

  it.each([
    ['CBC', { ciphers: ['aes256-cbc', '3des-cbc'] }],
    ['ChaCha20', { ciphers: ['chacha20-poly1305@openssh.com'] }],
    ['SHA-1 MACs', { ciphers: ['aes128-ctr'], macs: ['hmac-sha1', 'hmac-sha1-96'] }],
  ])('has no common algorithm with %s alone (SSH-22)', async (_what, lists) => {
    const from = now();
    const kex = [kexMethod, strictMarker];
    const refused = await shakeHandsInClear({ port, kex, ...lists });
    expect(refused).toMatchObject({ isAnswered: false });
    expect(refused.text).toContain('no common algorithm');
    expect((await refusal(from, 'algorithms')).data['message']).toContain('no common algorithm');
    // Control: the same client with one name more.
    const ciphers = [...lists.ciphers, 'aes128-ctr'];
    const macs = ['hmac-sha1', 'hmac-sha2-256-etm@openssh.com'];
    expect((await shakeHandsInClear({ port, kex, ciphers, macs })).isAnswered).toBe(true);
  });

  it('of a stock ssh is strict (control of SSH-22)', async () => {
    const result = await alice.ssh(['-vvv', target, 'true']);
    expect(result.code).toBe(0);
    expect(result.stderr).toContain('will use strict KEX ordering');
  });
});
