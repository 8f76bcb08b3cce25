/**
 * Facts of texts, for all sessions of a process. Parsing is done beside the byte path: short texts in one thread, long
 * ones in another, so that a long one never holds up the rest. Texts that come again are answered from memory.
 *
 * The facts hold as long as the server reads texts with `standard_conforming_strings = on` and a `client_encoding` of
 * UTF8 or SQL_ASCII, which the caller sees to where the session begins (PostgreSQL §55.2.7) and `judge.ts` afterwards.
 * The grammar is PostgreSQL 18's; what only another version knows is not parsed.
 */
import { isUtf8 } from 'node:buffer';

import { FactCache } from './fact-cache.js';
import type { ParsedText, UnparsedReason } from './facts.js';
import { ParseLane } from './parse-lane.js';

/** Longest text that is judged; its tree takes some 200 bytes of memory for each of its own. */
export const maxTextBytes = 1_310_720;

const maxShortBytes = 64 * 1024;
const shortLane = { deadlineMs: 2_000, maxWaitingBytes: 32 * 1024 * 1024, isKept: true };
const longLane = { deadlineMs: 15_000, maxWaitingBytes: 16 * 1024 * 1024, isKept: false };
const cacheLimits = { maxEntries: 10_000, maxBytes: 16 * 1024 * 1024 };

export interface StatementParser extends AsyncDisposable {
  /**
   * The facts of a text of Query or Parse, without its closing NUL (PostgreSQL §55.7). Never rejects.
   * @param person whose it is: where texts wait, each person has their turn
   */
  parse(text: Uint8Array, person: string): Promise<ParsedText>;
}

export interface StatementParserOptions {
  /** Told when a text has cost a thread, which is then replaced. */
  readonly onReplaced?: (reason: UnparsedReason) => void;
}

/** Starts its threads with the first text that needs them; closing answers what is under way with `failed`. */
export function createStatementParser(options: StatementParserOptions = {}): StatementParser {
  const { onReplaced = () => undefined } = options;
  const short = new ParseLane({ ...shortLane, onReplaced });
  const long = new ParseLane({ ...longLane, onReplaced });
  const cache = new FactCache(cacheLimits);
  return {
    async parse(bytes, person) {
      if (bytes.length > maxTextBytes) return { kind: 'unparsed', reason: 'too_long' };
      // The server reads up to the first NUL only.
      if (!isUtf8(bytes) || bytes.includes(0)) return { kind: 'unparsed', reason: 'encoding' };
      const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
      if (bytes.length > maxShortBytes) return long.parse(text, person);
      const known = cache.get(text);
      if (known !== undefined) return known;
      const parsed = await short.parse(text, person);
      if (parsed.kind === 'parsed' || parsed.reason === 'syntax') cache.set(text, parsed);
      return parsed;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([short.close(), long.close()]);
    },
  };
}
