import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { decodeReply, encodePreface, maxPrefaceBytes } from './preface.js';

const frame = (text: string) => {
  const json = Buffer.from(text);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(json.length);
  return Buffer.concat([length, json]);
};

describe('encodePreface', () => {
  it('writes the length and the JSON of D18', () => {
    const bytes = encodePreface({ target: 'web-1', login: 'deploy', client: 'gate/1' });
    expect(bytes.readUInt16BE(0)).toBe(bytes.length - 2);
    expect(JSON.parse(bytes.toString('utf8', 2))).toEqual({
      v: 1,
      target: 'web-1',
      login: 'deploy',
      client: 'gate/1',
    });
  });

  it('refuses names that do not fit', () => {
    expect(() => encodePreface({ target: 'x'.repeat(maxPrefaceBytes), client: 'gate' })).toThrow(
      RangeError,
    );
  });
});

describe('decodeReply', () => {
  it('gives the bytes behind an accepting answer back', () => {
    const bytes = Buffer.concat([
      frame('{"session":"ses_1","more":true}'),
      Buffer.from('SSH-2.0-x'),
    ]);
    expect(decodeReply(bytes)).toEqual({
      type: 'accepted',
      session: 'ses_1',
      rest: Buffer.from('SSH-2.0-x'),
    });
  });

  it('waits for the whole answer, byte by byte', () => {
    const bytes = frame('{"session":"ses_1"}');
    for (let length = 0; length < bytes.length; length += 1) {
      expect(decodeReply(bytes.subarray(0, length)).type).toBe('incomplete');
    }
  });

  it('reads a refusal with its remedy and id', () => {
    const bytes = frame(
      '{"error":{"code":"X","message":"locked: incident 7","remedy":"wait","id":"err_1"}}',
    );
    expect(decodeReply(bytes)).toEqual({
      type: 'refused',
      refusal: { message: 'locked: incident 7', remedy: 'wait', id: 'err_1' },
    });
    expect(decodeReply(frame('{"error":{"message":"no"}}'))).toEqual({
      type: 'refused',
      refusal: { message: 'no', remedy: null, id: null },
    });
  });

  it.each(['{}', '[]', 'null', '{"session":1}', '{"error":{}}', 'SSH-2.0'])(
    'does not take %s for an answer',
    (text) => {
      expect(decodeReply(frame(text)).type).toBe('broken');
    },
  );

  it('refuses a length beyond the bound before the bytes arrive', () => {
    expect(decodeReply(Buffer.from([0x10, 0x01])).type).toBe('broken');
  });

  it('never throws, whatever arrives', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        (bytes) => void decodeReply(Buffer.from(bytes)),
      ),
    );
  });
});
