/** JSON from outside, read so that no two readers can understand it differently. */
import type { Failure } from './ssh-wire.js';

const maxDepth = 16;

/**
 * Parses JSON of at most `maxBytes`; refuses what RFC 8259 leaves open: the same key twice in one object. Depth is at
 * most 16, and no key may be `__proto__`.
 * @throws what `fail` makes
 */
export function parseStrictJson(text: string, maxBytes: number, fail: Failure): unknown {
  if (text.length > maxBytes || Buffer.byteLength(text, 'utf8') > maxBytes)
    throw fail('is too large');
  const value = parse(text, fail);
  refuseRepeatedKeys(text, fail);
  return value;
}

function parse(text: string, fail: Failure): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch {
    throw fail('is not JSON');
  }
}

/** Walks the tokens of a text that is known to be JSON. Keys are compared as read, so that escapes hide nothing. */
function refuseRepeatedKeys(text: string, fail: Failure): void {
  const open: (Set<unknown> | undefined)[] = [];
  let isKeyNext = false;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],]/g)) {
    if (token === '{' || token === '[') {
      open.push(token === '{' ? new Set() : undefined);
      if (open.length > maxDepth) throw fail('is nested too deeply');
      isKeyNext = token === '{';
    } else if (token === '}' || token === ']') {
      open.pop();
      isKeyNext = false;
    } else if (token === ',') {
      isKeyNext = open.at(-1) !== undefined;
    } else if (isKeyNext) {
      addKey(open.at(-1), JSON.parse(token), fail);
      isKeyNext = false;
    }
  }
}

function addKey(keys: Set<unknown> | undefined, key: unknown, fail: Failure): void {
  if (keys?.has(key)) throw fail('has a key twice');
  if (key === '__proto__') throw fail('has a key that is not allowed');
  keys?.add(key);
}
