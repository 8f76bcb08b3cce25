/** Mutations of one input: bits, bytes, lengths, cuts, repeats, splices with another input, and havoc of them all. */
import type { Random } from '@gatehouse/kit/testing';

type Mutation = (input: Buffer, random: Random, other: Buffer) => Buffer;

/** Numbers around which lengths and signs go wrong. */
const interesting = [
  0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x1_0000, 0xff_ffff, 0x7fff_ffff,
  0x8000_0000, 0xffff_ffff,
] as const;

/** Bytes that mean something in texts: JSON, PEM, base64, paths, line ends. */
const tokens = [
  '"',
  '\\',
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '.',
  '/',
  '%',
  '\0',
  '\r\n',
  '-',
  '=',
  '1e999',
  'null',
  '\u{fffd}',
] as const;

const mutations: readonly [Mutation, ...Mutation[]] = [
  flipBit,
  setByte,
  setNumber,
  shiftNumber,
  cut,
  drop,
  repeat,
  insertToken,
  insertRandom,
  splice,
  swap,
];

/** A new input made from `input` and pieces of `other`; never longer than `maxBytes`. Neither argument is changed. */
export function mutate(
  input: Buffer,
  other: Buffer,
  options: { random: Random; maxBytes: number },
): Buffer {
  const { random, maxBytes } = options;
  const rounds = random.below(4) === 0 ? 2 ** (1 + random.below(5)) : 1;
  let result = Buffer.from(input);
  for (let round = 0; round < rounds; round += 1) {
    result = Buffer.from(random.pick(mutations)(result, random, other).subarray(0, maxBytes));
  }
  return result;
}

/** A position that leaves `room` bytes; 0 where there is no room. */
function position(input: Buffer, random: Random, room = 1): number {
  return random.below(Math.max(1, input.length - room + 1));
}

function flipBit(input: Buffer, random: Random): Buffer {
  const at = position(input, random);
  if (input.length > 0) input[at] = (input[at] ?? 0) ^ (1 << random.below(8));
  return input;
}

function setByte(input: Buffer, random: Random): Buffer {
  if (input.length > 0) input[position(input, random)] = random.below(256);
  return input;
}

function setNumber(input: Buffer, random: Random): Buffer {
  const size = random.pick([1, 2, 4]);
  if (input.length < size) return input;
  const value = random.pick(interesting) % 2 ** (8 * size);
  input.writeUIntBE(value, position(input, random, size), size);
  return input;
}

/** Lengths are most often wrong by a little. */
function shiftNumber(input: Buffer, random: Random): Buffer {
  const size = random.pick([1, 2, 4]);
  if (input.length < size) return input;
  const at = position(input, random, size);
  const range = 2 ** (8 * size);
  input.writeUIntBE((input.readUIntBE(at, size) + range + random.below(17) - 8) % range, at, size);
  return input;
}

function cut(input: Buffer, random: Random): Buffer {
  return input.subarray(0, random.below(input.length + 1));
}

function drop(input: Buffer, random: Random): Buffer {
  const at = position(input, random);
  return Buffer.concat([input.subarray(0, at), input.subarray(at + 1 + random.below(32))]);
}

function repeat(input: Buffer, random: Random): Buffer {
  const at = position(input, random);
  const piece = input.subarray(at, at + 1 + random.below(64));
  const times = random.below(16) === 0 ? 1000 : 1 + random.below(4);
  return Buffer.concat([
    input.subarray(0, at),
    ...Array.from({ length: times }, () => piece),
    input.subarray(at),
  ]);
}

function insertToken(input: Buffer, random: Random): Buffer {
  const at = random.below(input.length + 1);
  return Buffer.concat([
    input.subarray(0, at),
    Buffer.from(random.pick(tokens)),
    input.subarray(at),
  ]);
}

function insertRandom(input: Buffer, random: Random): Buffer {
  const at = random.below(input.length + 1);
  const piece = Buffer.from(Array.from({ length: 1 + random.below(16) }, () => random.below(256)));
  return Buffer.concat([input.subarray(0, at), piece, input.subarray(at)]);
}

/** The beginning of one and the end of the other. */
function splice(input: Buffer, random: Random, other: Buffer): Buffer {
  const end = other.subarray(random.below(other.length + 1));
  return Buffer.concat([input.subarray(0, random.below(input.length + 1)), end]);
}

/** Two pieces of the same input change places. */
function swap(input: Buffer, random: Random): Buffer {
  const [a = 0, b = 0, c = 0] = [0, 0, 0]
    .map(() => random.below(input.length + 1))
    .toSorted((x, y) => x - y);
  return Buffer.concat([
    input.subarray(0, a),
    input.subarray(b, c),
    input.subarray(a, b),
    input.subarray(c),
  ]);
}
