/**
 * Which names a text may give another meaning, by a look at the words that may begin its statements. No grammar: a text that
 * only looks like it costs the audit texts of later executions, and one that is overlooked would have them told falsely. What
 * functions and procedures run is not to be seen.
 */
import { maxNameBytes, type Statement } from '../wire/statement.js';

/** Those of `prepare`, `deallocate`, `discard`, `do`, `close` and `declare` that are found. */
export function takingWords(statement: Statement): ReadonlySet<string> {
  let words = knownWords.get(statement);
  words ??= findWords(statement);
  knownWords.set(statement, words);
  return words;
}

/** What a server takes for blank: a character beyond ASCII is a part of a name. */
const blank = '[ \\t\\r\\n\\f\\v]';
const namedStatement = new RegExp(
  `^${blank}*(?:prepare|deallocate(?:${blank}+prepare)?|close|declare)${blank}+` +
    `(?:"([^"\\x80-\\xff]+)"|([a-z_][a-z0-9_$]*))(?=${blank}*;?${blank}*$|${blank}|\\()`,
  'i',
);
const noNames: ReadonlySet<string> = new Set(['all', 'prepare']);

/** The one name that a text is about, if it takes any; undefined where that takes more than a look: a server cuts characters whole. */
export function takenName(statement: Statement | undefined): string | undefined {
  if (statement === undefined || !isSingle(statement)) return undefined;
  const [, quoted, plain] = namedStatement.exec(textOf(statement)) ?? [];
  const name = quoted ?? plain?.toLowerCase();
  return plain !== undefined && noNames.has(plain.toLowerCase())
    ? undefined
    : name?.slice(0, maxNameBytes);
}

/** No other statement can stand behind the first one in what is kept of the text. */
function isSingle({ text }: Statement): boolean {
  const end = text.indexOf(0x3b);
  return end < 0 || text.toString('latin1', end + 1).trim() === '';
}

/** @param kind a Query may have such a word anywhere, what was parsed only in front */
export function hidesWords(kind: string, statement: Statement | undefined): boolean {
  if (statement === undefined) return true;
  return (
    statement.isTruncated && (kind === 'query' || !/^\s*[a-z]+[^a-z]/i.test(textOf(statement)))
  );
}

/** A text is executed often. */
const knownWords = new WeakMap<Statement, ReadonlySet<string>>();

// ON CONFLICT DO and the like may begin a line.
const word =
  '(prepare|deallocate|discard(?!\\s+(?:plans|sequences|temp|temporary)\\b)|close|declare' +
  '|do(?!\\s+(?:update|nothing|instead|also)\\b))(?![a-z0-9_$])';
const leadingWord = new RegExp(`^\\s*${word}`, 'gi');
const anyWord = new RegExp(`(?:^|[;\\r\\n]|\\*/)[ \\t\\f\\v]*${word}`, 'gi');

function findWords(statement: Statement): ReadonlySet<string> {
  const text = textOf(statement);
  const isPlain = /^\s*[a-z]/i.test(text) && isSingle(statement);
  const found = text.matchAll(isPlain ? leadingWord : anyWord);
  return new Set([...found].map(([, name = '']) => name.toLowerCase()));
}

function textOf({ text }: Statement): string {
  return text.toString('latin1');
}
