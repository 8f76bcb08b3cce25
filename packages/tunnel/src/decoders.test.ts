import { GatehouseError } from '@gatehouse/kit/errors';
import fc from 'fast-check';
import { expect, it } from 'vitest';

import { ControlFrameDecoder, encodeControlFrame, maxControlFrameBytes } from './control-frames.js';
import { fuzzTargets } from './testing.js';

it.each(fuzzTargets)('$name: throws nothing but its own error for any bytes', (target) => {
  const mutations = fc.record({
    seed: fc.nat(target.seeds.length - 1),
    at: fc.nat(400),
    bytes: fc.uint8Array({ maxLength: 40 }),
    cut: fc.nat(40),
  });
  for (const seed of target.seeds) target.run(seed);
  fc.assert(
    fc.property(mutations, ({ seed, at, bytes, cut }) => {
      const base = target.seeds[seed] ?? Buffer.alloc(0);
      const place = at % (base.length + 1);
      const input = Buffer.concat([base.subarray(0, place), bytes, base.subarray(place + cut)]);
      try {
        target.run(input);
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(GatehouseError);
      }
    }),
    { numRuns: 2000 },
  );
});

it('cuts control messages out of any chunking', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 20 }),
      (messages, sizes) => {
        const bytes = Buffer.concat(messages.map((message) => encodeControlFrame(message)));
        const decoder = new ControlFrameDecoder();
        const heard: Buffer[] = [];
        for (let at = 0, index = 0; at < bytes.length; index += 1) {
          const size = sizes[index % sizes.length] ?? 1;
          heard.push(...decoder.push(bytes.subarray(at, at + size)));
          at += size;
        }
        expect(heard.map((m) => m.toString('hex'))).toEqual(
          messages.map((m) => Buffer.from(m).toString('hex')),
        );
      },
    ),
  );
});

it('refuses a control message beyond 1 MiB before it has arrived', () => {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(maxControlFrameBytes + 1);
  expect(() => new ControlFrameDecoder().push(head)).toThrow('not valid');
});
