/** Reads the text of a regular expression into a tree. See regex.ts for what is in the language. */
import {
  complementOf,
  createCodePointSet,
  type CodePointRange,
  type CodePointSet,
} from './code-point-set.js';

/** A pattern that is not understood; the message says where and why. */
export class PatternError extends Error {
  override readonly name = 'PatternError';
}

/** A node of the tree; code points are taken one at a time. */
export type RegexNode =
  | { readonly type: 'set'; readonly set: CodePointSet; readonly negated: boolean }
  | { readonly type: 'sequence'; readonly items: readonly RegexNode[] }
  | { readonly type: 'choice'; readonly options: readonly RegexNode[] }
  | {
      readonly type: 'repeat';
      readonly item: RegexNode;
      readonly min: number;
      readonly max: number | undefined;
    };

/** Highest count in `{n,m}`. */
const maxCount = 255;
/** Deepest nesting of groups. */
const maxDepth = 20;

const digits = createCodePointSet([[0x30, 0x39]]);
const wordCharacters = createCodePointSet([
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
]);
/** ECMA-262 WhiteSpace and LineTerminator. */
const spaces = createCodePointSet([
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
]);
const lineEnds = createCodePointSet([
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
]);
const namedSets: Readonly<Record<string, CodePointSet>> = {
  d: digits,
  D: complementOf(digits),
  w: wordCharacters,
  W: complementOf(wordCharacters),
  s: spaces,
  S: complementOf(spaces),
};

interface Reader {
  readonly characters: readonly string[];
  position: number;
  depth: number;
}

/** @throws PatternError */
export function parseRegexSyntax(source: string): RegexNode {
  const reader: Reader = { characters: Array.from(source), position: 0, depth: 0 };
  const node = readChoice(reader);
  if (peek(reader) !== undefined) throw problem(reader, `unexpected "${peek(reader)}"`);
  return node;
}

function peek(reader: Reader): string | undefined {
  return reader.characters[reader.position];
}

function isNext(reader: Reader, text: string): boolean {
  if (peek(reader) !== text) return false;
  reader.position += 1;
  return true;
}

function problem(reader: Reader, what: string): PatternError {
  return new PatternError(`${what} at character ${reader.position + 1} of the expression`);
}

function readChoice(reader: Reader): RegexNode {
  const options = [readSequence(reader)];
  while (isNext(reader, '|')) options.push(readSequence(reader));
  return { type: 'choice', options };
}

function readSequence(reader: Reader): RegexNode {
  const items: RegexNode[] = [];
  for (
    let next = peek(reader);
    next !== undefined && next !== '|' && next !== ')';
    next = peek(reader)
  ) {
    items.push(readQuantifier(reader, readAtom(reader)));
  }
  return { type: 'sequence', items };
}

function readAtom(reader: Reader): RegexNode {
  const character = peek(reader) ?? '';
  if ('*+?{}]^$'.includes(character)) throw problem(reader, `"${character}" needs a \\ before it`);
  reader.position += 1;
  if (character === '(') return readGroup(reader);
  if (character === '[') return readClass(reader);
  if (character === '.') return { type: 'set', set: lineEnds, negated: true };
  if (character === '\\') return { type: 'set', set: readEscape(reader), negated: false };
  return { type: 'set', set: single(character), negated: false };
}

function single(character: string): CodePointSet {
  const codePoint = character.codePointAt(0) ?? 0;
  return [[codePoint, codePoint]];
}

function readGroup(reader: Reader): RegexNode {
  if (isNext(reader, '?') && !isNext(reader, ':')) {
    throw problem(reader, 'look-around, names and flags are not supported');
  }
  reader.depth += 1;
  if (reader.depth > maxDepth) throw problem(reader, 'groups are nested too deep');
  const node = readChoice(reader);
  if (!isNext(reader, ')')) throw problem(reader, '")" is missing');
  reader.depth -= 1;
  return node;
}

function readEscape(reader: Reader): CodePointSet {
  const character = peek(reader);
  if (character === undefined) throw problem(reader, 'a \\ without a character');
  const named = Object.hasOwn(namedSets, character) ? namedSets[character] : undefined;
  if (named === undefined && !/^[!-/:-@[-`{-~ ]$/.test(character)) {
    throw problem(reader, `"\\${character}" is not supported`);
  }
  reader.position += 1;
  return named ?? single(character);
}

function readClass(reader: Reader): RegexNode {
  const negated = isNext(reader, '^');
  const ranges: CodePointRange[] = [];
  while (!isNext(reader, ']')) ranges.push(...readClassItem(reader));
  if (ranges.length === 0) throw problem(reader, 'an empty class');
  return { type: 'set', set: createCodePointSet(ranges), negated };
}

function readClassItem(reader: Reader): CodePointSet {
  const from = readClassCharacter(reader);
  const isRange = peek(reader) === '-' && reader.characters[reader.position + 1] !== ']';
  if (!isRange) return from;
  reader.position += 1;
  const low = onlyCodePoint(from);
  const high = onlyCodePoint(readClassCharacter(reader));
  if (low === undefined || high === undefined || low > high) throw problem(reader, 'a bad range');
  return [[low, high]];
}

function readClassCharacter(reader: Reader): CodePointSet {
  const character = peek(reader);
  if (character === undefined) throw problem(reader, '"]" is missing');
  reader.position += 1;
  return character === '\\' ? readEscape(reader) : single(character);
}

function onlyCodePoint(set: CodePointSet): number | undefined {
  const [first] = set;
  return set.length === 1 && first !== undefined && first[0] === first[1] ? first[0] : undefined;
}

function readQuantifier(reader: Reader, item: RegexNode): RegexNode {
  const bounds = readBounds(reader);
  if (bounds === undefined) return item;
  isNext(reader, '?'); // lazy or not makes no difference to a match of the whole text
  return { type: 'repeat', item, ...bounds };
}

function readBounds(reader: Reader): { min: number; max: number | undefined } | undefined {
  if (isNext(reader, '*')) return { min: 0, max: undefined };
  if (isNext(reader, '+')) return { min: 1, max: undefined };
  if (isNext(reader, '?')) return { min: 0, max: 1 };
  if (!isNext(reader, '{')) return undefined;
  const min = readCount(reader);
  let max: number | undefined = min;
  if (isNext(reader, ',')) max = peek(reader) === '}' ? undefined : readCount(reader);
  if (!isNext(reader, '}')) throw problem(reader, '"}" is missing');
  if (max !== undefined && max < min) throw problem(reader, 'a range of counts that goes down');
  return { min, max };
}

function readCount(reader: Reader): number {
  let text = '';
  for (let next = peek(reader); next !== undefined && /^\d$/.test(next); next = peek(reader)) {
    text += next;
    reader.position += 1;
  }
  const count = Number(text);
  if (text === '' || count > maxCount)
    throw problem(reader, `a count from 0 to ${maxCount} is expected`);
  return count;
}
