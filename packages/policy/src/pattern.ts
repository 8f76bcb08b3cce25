import { PatternError } from './regex-syntax.js';
/**
 * The values of labels and the names of principals in roles. Text is exact unless it holds a `*` (glob) or is written
 * `^…$` (regular expression over the whole value); `{{internal.x}}` and `{{external.x}}` stand for the values of the
 * person's trait `x`, which are literals whatever they hold, and are expanded once.
 */
import { compileRegex, isRegexMatch, type Regex } from './regex.js';
import type { Traits } from './target.js';

/** Longest pattern, in UTF-16 units. */
const maxPatternLength = 256;

/** A compiled pattern. */
export type Pattern =
  | { readonly type: 'exact'; readonly text: string }
  | { readonly type: 'glob'; readonly parts: readonly string[] }
  | { readonly type: 'regex'; readonly regex: Regex }
  | {
      readonly type: 'trait';
      readonly before: string;
      readonly trait: string;
      readonly after: string;
    };

/** The answer where a trait may be missing: `unknown` counts as no for allow and as yes for deny (D33). */
export type Truth = boolean | 'unknown';

/**
 * @throws PatternError
 */
export function parsePattern(source: string): Pattern {
  if (source.length > maxPatternLength)
    throw new PatternError(`longer than ${maxPatternLength} characters`);
  if (source.includes('{{') || source.includes('}}')) return parseTraitPattern(source);
  if (source.startsWith('^')) {
    if (source.length < 2 || !source.endsWith('$')) {
      throw new PatternError('a regular expression is written ^…$');
    }
    return { type: 'regex', regex: compileRegex(source.slice(1, -1)) };
  }
  if (source.includes('*')) return { type: 'glob', parts: source.split('*') };
  return { type: 'exact', text: source };
}

function parseTraitPattern(source: string): Pattern {
  const match = /^([^{}]*)\{\{\s*(?:internal|external)\.([\w.:/-]+)\s*\}\}([^{}]*)$/.exec(source);
  const [, before, trait, after] = match ?? [];
  if (before === undefined || trait === undefined || after === undefined) {
    throw new PatternError(
      'a template is one {{internal.NAME}} or {{external.NAME}} with plain text around it',
    );
  }
  if (before.startsWith('^') || before.includes('*') || after.includes('*')) {
    throw new PatternError('a template and a pattern can not be in one value');
  }
  return { type: 'trait', before, trait, after };
}

/** Does the pattern match the whole of `value`? */
export function matchPattern(pattern: Pattern, value: string, traits: Traits): Truth {
  switch (pattern.type) {
    case 'exact':
      return pattern.text === value;
    case 'glob':
      return isGlobMatch(pattern.parts, value);
    case 'regex':
      return isRegexMatch(pattern.regex, value);
    case 'trait': {
      const texts = expandTrait(pattern, traits);
      return texts.length === 0 ? 'unknown' : texts.includes(value);
    }
  }
}

/** True if one pattern matches, else unknown if one can't be told. No pattern: false. */
export function matchAnyPattern(
  patterns: readonly Pattern[],
  value: string,
  traits: Traits,
): Truth {
  let result: Truth = false;
  for (const pattern of patterns) {
    const truth = matchPattern(pattern, value, traits);
    if (truth === true) return true;
    if (truth === 'unknown') result = truth;
  }
  return result;
}

/** The texts that patterns stand for, where they can be listed: exact ones and traits. */
export function listTexts(patterns: readonly Pattern[], traits: Traits): string[] {
  return patterns.flatMap((pattern) => {
    switch (pattern.type) {
      case 'exact':
        return [pattern.text];
      case 'trait':
        return expandTrait(pattern, traits);
      case 'glob':
      case 'regex':
        return [];
    }
  });
}

/** Is it the glob `*`, which matches everything? */
export function isMatchAll(pattern: Pattern): boolean {
  return pattern.type === 'glob' && pattern.parts.every((part) => part === '');
}

/** An empty value stands for nothing, as a missing trait does. */
function expandTrait(pattern: Extract<Pattern, { type: 'trait' }>, traits: Traits): string[] {
  const values = Object.hasOwn(traits, pattern.trait) ? (traits[pattern.trait] ?? []) : [];
  return values
    .filter((value) => value !== '')
    .map((value) => `${pattern.before}${value}${pattern.after}`);
}

function isGlobMatch(parts: readonly string[], value: string): boolean {
  const first = parts[0] ?? '';
  const last = parts.at(-1) ?? '';
  if (value.length < first.length + last.length) return false;
  if (!value.startsWith(first) || !value.endsWith(last)) return false;
  let rest = value.slice(first.length, value.length - last.length);
  for (const part of parts.slice(1, -1)) {
    const index = rest.indexOf(part);
    if (index < 0) return false;
    rest = rest.slice(index + part.length);
  }
  return true;
}
