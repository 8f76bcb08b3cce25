import { PassThrough } from 'node:stream';

import { describe, expect, it } from 'vitest';

import { proxyError } from '../errors.js';
import { encodeRefused, maxPrefaceBytes, readPreface } from './preface.js';

function frame(json: string): Buffer {
  const body = Buffer.from(json);
  const head = Buffer.alloc(2);
  head.writeUInt16BE(body.length, 0);
  return Buffer.concat([head, body]);
}

const good = '{"v":1,"target":"web-1","login":"deploy","client":"gate/0.1","later":true}';

describe('readPreface', () => {
  it('reads one preface byte by byte and leaves what follows it', async () => {
    const stream = new PassThrough();
    const read = readPreface(stream, AbortSignal.timeout(5_000));
    for (const byte of Buffer.concat([frame(good), Buffer.from('SSH-2.0-x')]))
      stream.write(Buffer.from([byte]));
    expect(await read).toEqual({ v: 1, target: 'web-1', login: 'deploy', client: 'gate/0.1' });
    expect(String(stream.read())).toBe('SSH-2.0-x');
  });

  it.each([
    ['no JSON', frame('nope')],
    ['an unknown version', frame('{"v":2,"target":"x"}')],
    ['no target', frame('{"v":1}')],
    ['an empty target', frame('{"v":1,"target":""}')],
    ['broken UTF-8', Buffer.concat([Buffer.from([0, 3]), Buffer.from([0x22, 0xff, 0x22])])],
    ['nothing', Buffer.from([0, 0])],
    ['more than the limit', Buffer.from([(maxPrefaceBytes + 1) >> 8, (maxPrefaceBytes + 1) & 255])],
  ])('refuses %s', async (_what, bytes) => {
    const stream = new PassThrough();
    stream.end(bytes);
    await expect(readPreface(stream, AbortSignal.timeout(5_000))).rejects.toMatchObject({
      code: 'PREFACE_INVALID',
    });
  });

  it('gives up a preface that does not come in time', async () => {
    await expect(readPreface(new PassThrough(), AbortSignal.timeout(20))).rejects.toMatchObject({
      code: 'PREFACE_INVALID',
    });
  });
});

describe('encodeRefused', () => {
  it('says what the person may know, and no more', () => {
    const error = proxyError('PROXY_STOPPING', { message: 'inner fact', id: 'err_1' });
    const said = encodeRefused(error).subarray(2).toString();
    expect(JSON.parse(said)).toEqual({
      error: {
        code: 'PROXY_STOPPING',
        message: 'this proxy is stopping; connect again',
        id: 'err_1',
      },
    });
  });
});
