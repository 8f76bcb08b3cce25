/** Sets of Unicode code points as sorted ranges that do not touch. */

/** Both ends belong to it. */
export type CodePointRange = readonly [from: number, to: number];
/** Sorted ranges that do not touch. */
export type CodePointSet = readonly CodePointRange[];

const lastCodePoint = 0x10_ffff;

/** The union of ranges in any order. */
export function createCodePointSet(ranges: readonly CodePointRange[]): CodePointSet {
  const merged: [number, number][] = [];
  for (const [from, to] of ranges.toSorted((left, right) => left[0] - right[0])) {
    const last = merged.at(-1);
    if (last !== undefined && from <= last[1] + 1) last[1] = Math.max(last[1], to);
    else merged.push([from, to]);
  }
  return merged;
}

/** Everything that is not in the set. */
export function complementOf(set: CodePointSet): CodePointSet {
  const gaps: CodePointRange[] = [];
  let next = 0;
  for (const [from, to] of set) {
    if (from > next) gaps.push([next, from - 1]);
    next = to + 1;
  }
  if (next <= lastCodePoint) gaps.push([next, lastCodePoint]);
  return gaps;
}

/** Is the code point in the set? */
export function containsCodePoint(set: CodePointSet, codePoint: number): boolean {
  return set.some(([from, to]) => codePoint >= from && codePoint <= to);
}
