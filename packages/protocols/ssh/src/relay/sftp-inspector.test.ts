import { describe, expect, it } from 'vitest';

import { encodeFields, type WireField } from '../wire/codec.js';
import { sftpType } from '../wire/sftp.js';
import { RelayChannel } from './channel.js';
import type { Relay } from './relay.js';
import { createSftpInspector } from './sftp-inspector.js';

const firstOwnId = 0xfff0_0000;

function packet(type: number, ...fields: readonly WireField[]): Buffer {
  const body = encodeFields(...fields);
  return Buffer.concat([encodeFields(body.length + 1), Buffer.of(type), body]);
}

/** An inspector between a client and a server that the test plays. */
function inspect(userWindow = 0) {
  const events: { type: string; data: Record<string, unknown> }[] = [];
  const options = { fileTransfer: 'both' };
  const sent: { to: string; data: Buffer }[] = [];
  let credit = 0;
  const channel = new RelayChannel({
    type: 'session',
    userId: 0,
    address: undefined,
    openedMs: 0,
    sendToUser: () => undefined,
  });
  channel.userWindow = userWindow;
  channel.nodeReserve.take = () => true;
  channel.userReserve.take = () => true;
  const relay = {
    session: {
      options,
      emit: (event: (typeof events)[number]) => events.push(event),
    },
    emitDenied: (type: string, data: Record<string, unknown>) => events.push({ type, data }),
    sendText: () => undefined,
    sendData: (to: string, _channel: RelayChannel, data: Buffer) => sent.push({ to, data }),
    sendCredit: (to: string, _channel: RelayChannel, bytes: number) =>
      void (to === 'user' && (credit += bytes)),
  };
  const inspector = createSftpInspector(relay as unknown as Relay, channel);
  return {
    events,
    options,
    sent,
    creditOfUser: () => credit,
    raw: (data: Buffer) => inspector.fromUser(data),
    user: (type: number, id: number, ...fields: WireField[]) =>
      inspector.fromUser(packet(type, id, ...fields)),
    node: (type: number, id: number, ...fields: WireField[]) =>
      inspector.fromNode(packet(type, id, ...fields)),
  };
}

describe('an SFTP session', () => {
  const offset = [0, 0];

  it('reports a file that was read', () => {
    const { user, node, events } = inspect();
    user(sftpType.open, 7, '/etc/shadow', 1, 0);
    node(sftpType.handle, 7, 'h1');
    user(sftpType.read, 8, 'h1', ...offset, 1000);
    node(sftpType.data, 8, Buffer.alloc(1000));
    user(sftpType.close, 7, 'h1');
    node(sftpType.status, 7, 0, '', '');
    expect(events).toMatchObject([{ type: 'ssh.file_transferred', data: { bytes: 1000 } }]);
  });

  it('ends where a request id is used twice: the answer to the first would be taken for the second', () => {
    const { user } = inspect();
    user(sftpType.open, 7, '/etc/shadow', 1, 0);
    expect(() => user(sftpType.stat, 7, '/tmp')).toThrow('an SFTP request id is used twice');
  });

  it('ends where a client takes the id of a question of ours', () => {
    const { user } = inspect(1024 * 1024);
    user(sftpType.open, 7, 'notes', 1, 0);
    expect(() => user(sftpType.stat, firstOwnId, '/tmp')).toThrow(
      'an SFTP request id is used twice',
    );
  });

  it('asks for the resolved path also where a client counts in the range of our ids', () => {
    const { user, node, events } = inspect(1024 * 1024);
    user(sftpType.stat, firstOwnId, '/tmp');
    user(sftpType.open, 7, 'notes', 1, 0);
    node(sftpType.name, firstOwnId + 1, 1, '/home/alice/notes', '');
    node(sftpType.handle, 7, 'h1');
    user(sftpType.close, 8, 'h1');
    node(sftpType.status, 8, 0, '', '');
    expect(events).toMatchObject([{ data: { resolvedPath: '/home/alice/notes' } }]);
  });

  it.each([
    ['READ', sftpType.read],
    ['WRITE', sftpType.write],
  ])('ends with a %s of a handle that no answer gave', (_name, type) => {
    const { user } = inspect();
    user(sftpType.open, 7, '/etc/shadow', 1, 0);
    expect(() => user(type, 8, 'h1', ...offset, 0)).toThrow(
      'SFTP bytes of a file that is not open',
    );
  });

  it.each([
    ['CREAT', 0x8],
    ['APPEND', 0x4],
    ['TRUNC', 0x10],
  ])(
    'that may only upload opens no file with %s alone: servers open it for reading',
    (_n, flags) => {
      const { user, events, options } = inspect();
      options.fileTransfer = 'upload';
      expect(user(sftpType.open, 7, '/etc/shadow', flags, 0)).toBe(false);
      expect(events).toMatchObject([
        { type: 'ssh.file_denied', data: { operation: 'open', direction: 'download' } },
      ]);
    },
  );

  it('that may only upload reads nothing, however its file was opened', () => {
    const { user, node, events, options } = inspect();
    options.fileTransfer = 'upload';
    expect(user(sftpType.open, 7, '/tmp/x', 0x1a, 0)).toBe(true);
    node(sftpType.handle, 7, 'h1');
    expect(user(sftpType.read, 8, 'h1', ...offset, 1000)).toBe(false);
    expect(events).toMatchObject([
      {
        type: 'ssh.file_denied',
        data: { operation: 'read', direction: 'download', path: '/tmp/x' },
      },
    ]);
  });

  it('moves no more bytes through an open file once the role takes file transfer away', () => {
    const { user, node, raw, events, options, sent, creditOfUser } = inspect();
    user(sftpType.open, 7, '/tmp/x', 0x3, 0);
    node(sftpType.handle, 7, 'h1');
    options.fileTransfer = 'none';
    expect(user(sftpType.read, 8, 'h1', ...offset, 1000)).toBe(false);
    const write = packet(sftpType.write, 9, 'h1', ...offset, Buffer.alloc(5000, 'x'));
    expect(raw(write.subarray(0, 2000))).toBe(false);
    expect(raw(write.subarray(2000))).toBe(false);
    expect(creditOfUser()).toBe(
      packet(sftpType.read, 8, 'h1', ...offset, 1000).length + write.length,
    );
    expect(sent.map(({ to, data }) => [to, data.readUInt8(4)])).toEqual([
      ['user', sftpType.status],
      ['user', sftpType.status],
    ]);
    expect(events.map(({ data }) => data['operation'])).toEqual(['read', 'write']);
    options.fileTransfer = 'both';
    expect(user(sftpType.write, 10, 'h1', ...offset, Buffer.alloc(5000))).toBe(true);
  });

  it('reports both what was written to a file and what was read from it', () => {
    const { user, node, events } = inspect();
    user(sftpType.open, 7, '/tmp/x', 0x3, 0);
    node(sftpType.handle, 7, 'h1');
    user(sftpType.write, 8, 'h1', ...offset, Buffer.alloc(100_000));
    node(sftpType.status, 8, 0, '', '');
    user(sftpType.read, 9, 'h1', ...offset, 1);
    node(sftpType.data, 9, Buffer.alloc(1));
    user(sftpType.close, 10, 'h1');
    node(sftpType.status, 10, 0, '', '');
    expect(events).toMatchObject([
      { data: { operation: 'write', direction: 'upload', bytes: 100_000 } },
      { data: { operation: 'read', direction: 'download', bytes: 1 } },
    ]);
  });
});
