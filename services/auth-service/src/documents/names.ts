/** Names of documents, people and targets (SSH-17): what is one. */
import { foldName } from '@gatehouse/policy';

/** Letters, digits and marks of any script, then also `. _ -` (people: `+ @` too). At most 63 characters. */
const namePattern = /^[\p{L}\p{N}][\p{L}\p{M}\p{N}._-]{0,62}$/u;
const userPattern = /^[\p{L}\p{N}][\p{L}\p{M}\p{N}._@+-]{0,62}$/u;

/** What looks like nothing, or, as the iota below, may: a name with it would look like one without. */
const invisible = /[\p{Default_Ignorable_Code_Point}\u0345]/u;
/** A mark that stands on no letter or digit is drawn on what comes before, or not at all. */
const baselessMark = /(?<![\p{L}\p{N}\p{M}])\p{M}/u;

/** Why a name can't be used, or undefined. */
export function findNameProblem(
  name: string,
  kind: 'user' | 'other' = 'other',
): string | undefined {
  if (name !== name.normalize('NFC')) return 'must be in composed form (Unicode NFC)';
  if (!(kind === 'user' ? userPattern : namePattern).test(name)) {
    const more = kind === 'user' ? '. _ - + @' : '. _ -';
    return `has 1 to 63 letters, digits and ${more}, and begins with a letter or digit`;
  }
  if (invisible.test(name)) return 'has no invisible characters';
  if (baselessMark.test(name)) return 'has no marks but on letters and digits';
  if (name.includes('..') || name.endsWith('.'))
    return 'has no two dots in a row and none at its end';
  return undefined;
}

/** True where `name` matches one of the globs (`*` and `?`), without regard to case; also where there is no glob. */
export function matchesGlobs(globs: readonly string[], name: string): boolean {
  const letters = Array.from(foldName(name));
  return (
    globs.length === 0 || globs.some((glob) => matchesGlob(Array.from(foldName(glob)), letters))
  );
}

/** In time of glob times name: globs come from agents too, and a regular expression could be made to take for ever. */
function matchesGlob(glob: readonly string[], name: readonly string[]): boolean {
  let at = 0;
  let index = 0;
  let star = -1;
  let resume = 0;
  while (index < name.length) {
    if (glob[at] === '*') {
      star = at;
      resume = index;
      at += 1;
    } else if (glob[at] === '?' || glob[at] === name[index]) {
      at += 1;
      index += 1;
    } else if (star >= 0) {
      // The last star takes one letter more.
      resume += 1;
      index = resume;
      at = star + 1;
    } else return false;
  }
  return glob.slice(at).every((letter) => letter === '*');
}
