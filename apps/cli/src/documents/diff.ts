/** A line diff, for `--dry-run` and `gate edit`. */

/** Beyond this many lines the whole text is shown as replaced: the table of the diff grows with the square. */
const maxLines = 3000;

/** Lines with `+`, `-` or a space before them; unchanged runs are cut to `context` lines. Empty when nothing differs. */
export function formatDiff(before: string, after: string, context = 3): string {
  if (before === after) return '';
  const lines = diffLines(toLines(before), toLines(after));
  const isNear = (index: number) =>
    lines
      .slice(Math.max(0, index - context), index + context + 1)
      .some((line) => line.sign !== ' ');
  const shown: string[] = [];
  let isGap = false;
  for (const [index, line] of lines.entries()) {
    if (isNear(index)) {
      shown.push(`${line.sign} ${line.text}`);
      isGap = false;
    } else if (!isGap) {
      shown.push('  …');
      isGap = true;
    }
  }
  return `${shown.join('\n')}\n`;
}

interface Line {
  readonly sign: ' ' | '+' | '-';
  readonly text: string;
}

function toLines(text: string): readonly string[] {
  return text === '' ? [] : text.replace(/\n$/, '').split('\n');
}

function diffLines(before: readonly string[], after: readonly string[]): Line[] {
  const removed = (text: string): Line => ({ sign: '-', text });
  const added = (text: string): Line => ({ sign: '+', text });
  if (before.length + after.length > maxLines) return [...before.map(removed), ...after.map(added)];
  const common = commonLengths(before, after);
  const lines: Line[] = [];
  let [i, j] = [0, 0];
  while (i < before.length && j < after.length) {
    const [left = '', right = ''] = [before[i], after[j]];
    const step = chooseStep(common, { i, j, isSame: left === right });
    lines.push({ sign: step, text: step === '+' ? right : left });
    if (step !== '+') i += 1;
    if (step !== '-') j += 1;
  }
  return [...lines, ...before.slice(i).map(removed), ...after.slice(j).map(added)];
}

/** The side whose rest keeps more in common goes on. */
function chooseStep(
  common: readonly Uint16Array[],
  { i, j, isSame }: { readonly i: number; readonly j: number; readonly isSame: boolean },
): Line['sign'] {
  if (isSame) return ' ';
  return (common[i + 1]?.[j] ?? 0) >= (common[i]?.[j + 1] ?? 0) ? '-' : '+';
}

/** Length of the longest common subsequence of the rests from i and j. */
function commonLengths(
  before: readonly string[],
  after: readonly string[],
): readonly Uint16Array[] {
  const table = Array.from({ length: before.length + 1 }, () => new Uint16Array(after.length + 1));
  for (let i = before.length - 1; i >= 0; i -= 1) {
    const row = table[i];
    const next = table[i + 1];
    if (row === undefined || next === undefined) continue;
    for (let j = after.length - 1; j >= 0; j -= 1) {
      row[j] =
        before[i] === after[j] ? (next[j + 1] ?? 0) + 1 : Math.max(next[j] ?? 0, row[j + 1] ?? 0);
    }
  }
  return table;
}
