/** Which targets a role speaks of, by their labels. */
import { isMatchAll, matchAnyPattern, type Pattern, type Truth } from './pattern.js';
import type { PolicyTarget, Traits } from './target.js';

/** Keys with the patterns of their values; all keys must match. Without keys it matches nothing. */
export interface LabelSelector {
  readonly keys: readonly { readonly key: string; readonly patterns: readonly Pattern[] }[];
}

/** The key that, with the value `*`, matches every target. */
export const anyKey = '*';

/** Do the target's labels match? A key the target lacks, or an empty map, matches nothing. */
export function matchLabels(selector: LabelSelector, target: PolicyTarget, traits: Traits): Truth {
  if (selector.keys.length === 0) return false;
  let result: Truth = true;
  for (const { key, patterns } of selector.keys) {
    const truth = matchKey({ key, patterns }, target, traits);
    if (truth === false) return false;
    if (truth === 'unknown') result = truth;
  }
  return result;
}

function matchKey(
  { key, patterns }: LabelSelector['keys'][number],
  target: PolicyTarget,
  traits: Traits,
): Truth {
  if (key === anyKey) return true;
  const value = labelOf(target, key);
  return value === undefined ? false : matchAnyPattern(patterns, value, traits);
}

/** The value of a label; `name` is the target's own name, whatever its labels say. */
function labelOf(target: PolicyTarget, key: string): string | undefined {
  if (key === 'name') return target.name;
  return Object.hasOwn(target.labels, key) ? target.labels[key] : undefined;
}

/** Does it match every target, whatever its labels? */
export function isEverything(selector: LabelSelector): boolean {
  return (
    selector.keys.length > 0 &&
    selector.keys.every(({ key, patterns }) => isEveryValue(key, patterns))
  );
}

function isEveryValue(key: string, patterns: readonly Pattern[]): boolean {
  return key === anyKey || (key === 'name' && patterns.some(isMatchAll));
}

/** The first key that does not match, for people: `env is "prod"`. Undefined when all match. */
export function describeMismatch(
  selector: LabelSelector,
  target: PolicyTarget,
  traits: Traits,
): string | undefined {
  if (selector.keys.length === 0) return 'its map of labels is empty';
  for (const entry of selector.keys) {
    const truth = matchKey(entry, target, traits);
    if (truth === true) continue;
    if (truth === 'unknown') return `${entry.key} needs a trait that the person does not have`;
    const value = labelOf(target, entry.key);
    return value === undefined ? `there is no label ${entry.key}` : `${entry.key} is "${value}"`;
  }
  return undefined;
}
