/** What tests elsewhere need of proxy-service: the decoders of its port, for the fuzz. */
import { parseClientHello } from './port/client-hello.js';
import { parsePreface, prefaceLength } from './port/preface.js';
import { sniff } from './port/sniff.js';

export interface FuzzTarget {
  readonly name: string;
  /** Throws nothing but GatehouseError. */
  readonly run: (input: Buffer) => void;
  readonly seeds: readonly Buffer[];
}

export const fuzzTargets: readonly FuzzTarget[] = [
  {
    name: 'sniffer',
    run(input) {
      sniff(input, ['SSH-2.0-']);
      parseClientHello(input);
    },
    seeds: [
      Buffer.from('SSH-2.0-OpenSSH_9.2\r\n'),
      Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
      Buffer.from(
        '16030100510100004d0303000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f000002130101000022' +
          '0000000e000c000009617574682e686f6d650010000c000a0268320568747470',
        'hex',
      ),
    ],
  },
  {
    name: 'preface',
    run(input) {
      if (input.length < 2) return;
      parsePreface(input.subarray(2, 2 + prefaceLength(input)));
    },
    seeds: [
      Buffer.concat([Buffer.from([0, 32]), Buffer.from('{"v":1,"target":"web-1","login":"a"}')]),
    ],
  },
];
