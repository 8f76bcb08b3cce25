import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

import { createLogger } from '@gatehouse/kit/log';
import { describe, expect, it } from 'vitest';

import { ChannelStream, channelWindowBytes } from '../connection/channel-stream.js';
import { WireReader } from '../wire/codec.js';
import { messageType } from '../wire/message-types.js';
import { runProgram, type Terminal } from './process.js';

const logger = createLogger({ name: 'test', level: 'silent' });
const terminal: Terminal = { columns: 80, rows: 24, term: 'xterm' };

/** Runs a command as this process's user, with the client's end of its channel. */
function start(command: string, on: Terminal | undefined) {
  const client = { output: '', stderr: '', requests: [] as string[], code: -1, granted: 0 };
  const receive = (message: Buffer) => {
    const reader = new WireReader(message, 5);
    if (message[0] === messageType.channelData) client.output += reader.string().toString();
    if (message[0] === messageType.channelWindowAdjust) client.granted += reader.u32();
    if (message[0] === messageType.channelExtendedData) {
      reader.u32();
      client.stderr += reader.string().toString();
    }
    if (message[0] !== messageType.channelRequest) return;
    client.requests.push(reader.string().toString());
    if (client.requests.at(-1) === 'exit-status')
      client.code = message.readUInt32BE(-4 + message.length);
  };
  const stream = new ChannelStream({
    localId: 0,
    remoteId: 0,
    remoteWindow: 1 << 30,
    remoteMaxPacket: 32_768,
    send: receive,
    isCongested: () => false,
    onClosed: () => undefined,
  });
  const user = {
    name: 'me',
    uid: 0,
    gid: 0,
    home: tmpdir(),
    shell: '/bin/sh',
    become: [],
  };
  const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin' };
  const words = ['/bin/sh', '-c', command];
  const program = runProgram({ words, user, env, stream, logger }, on);
  return { client, stream, program };
}

/** Sends in packets of a client. */
function send(stream: ChannelStream, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; at += 32_768) stream.receive(bytes.subarray(at, at + 32_768));
}

const lines = (bytes: number) => Buffer.alloc(bytes, `${'x'.repeat(63)}\n`);

describe('a program on a terminal', () => {
  it('that does not read stops nobody else', async () => {
    const deaf = start('echo on; exec sleep 30', terminal);
    const other = start('stty -echo; echo on; exec cat', terminal);
    await expect.poll(() => deaf.client.output + other.client.output).toBe('on\r\non\r\n');
    send(deaf.stream, lines(256 * 1024));
    await sleep(50);
    other.stream.receive(Buffer.from('hello\n'));
    await expect.poll(() => other.client.output).toContain('hello');
    // Nor does it take what nobody reads: the client is given no window for it.
    send(deaf.stream, lines(channelWindowBytes - 256 * 1024));
    await sleep(100);
    expect(deaf.client.granted).toBe(0);
    deaf.stream.receiveClose();
    other.stream.receiveClose();
    await expect.poll(() => deaf.stream.readableLength).toBe(0);
  });

  it('that reads late gets all of its input', async () => {
    const input = Buffer.alloc(1_000_000, 'a line of input\n');
    const { client, stream } = start(
      `stty raw -echo; echo on; sleep 1; head -c ${input.length} | sha256sum`,
      terminal,
    );
    await expect.poll(() => client.output).toContain('on');
    send(stream, input);
    await expect.poll(() => client.code).toBe(0);
    expect(client.output).toContain(createHash('sha256').update(input).digest('hex'));
  });

  it('is told the end of its input behind all of it', async () => {
    const input = lines(256 * 1024);
    const { client, stream } = start('stty -echo; echo on; sleep 0.5; wc -c', terminal);
    await expect.poll(() => client.output).toContain('on');
    send(stream, input);
    stream.receiveEof();
    await expect.poll(() => client.code).toBe(0);
    expect(client.output).toContain(String(input.length));
  });

  it('that ends with input unread ends its channel, and the rest is thrown away', async () => {
    const { client, stream } = start('echo on; sleep 0.3; exit 4', terminal);
    await expect.poll(() => client.output).toContain('on');
    send(stream, lines(channelWindowBytes));
    await expect.poll(() => client.code).toBe(4);
    await expect.poll(() => stream.readableLength).toBe(0);
  });

  it('that has let go of it can be resized and written to', async () => {
    const letGo = "trap '' HUP; echo on; exec <&- >&- 2>&-; sleep 0.5";
    const { client, stream, program } = start(letGo, terminal);
    await expect.poll(() => client.output).toContain('on');
    await sleep(200);
    program.resize(100, 50);
    stream.receive(lines(1024));
    await expect.poll(() => client.code).toBe(0);
  });
});

describe.each([
  ['pipes', undefined],
  ['a terminal', terminal],
])('a command with a NUL, on %s', (_name, on) => {
  it('ends its channel, and nothing else', async () => {
    const { client, stream } = start('echo hi\0x', on);
    stream.receive(Buffer.from('input'));
    await expect.poll(() => client.requests).toEqual(['exit-status']);
    expect(client).toMatchObject({ code: 127, output: '' });
    expect(client.stderr).toBe('the command could not be started\n');
  });
});
