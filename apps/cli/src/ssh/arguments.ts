/** Finds our own options and the destination among the arguments of `gate ssh`; the rest is OpenSSH's. */
import { usageError } from '../errors.js';

/** Letters of OpenSSH's options that take a value (ssh(1)). */
const optionsWithValue = 'BbcDEeFIiJLlmOoPpQRSWw';

/** The arguments of `gate ssh`, taken apart. */
export interface SshArguments {
  /** Our own long options, to be read as usual. */
  readonly own: readonly string[];
  /** OpenSSH's own, before the destination; also a `--`, after which ssh reads no more options. */
  readonly flags: readonly string[];
  /** `[login@]host` or `ssh://[login@]host[:port]`; undefined: there was none. */
  readonly destination: string | undefined;
  /** What follows the destination, as it is. */
  readonly rest: readonly string[];
}

/** @throws USAGE where a value is missing */
export function splitSshArguments(argv: readonly string[]): SshArguments {
  const own: string[] = [];
  const flags: string[] = [];
  let index = 0;
  for (let word = argv[0]; word !== undefined; word = argv[index]) {
    const kind = kindOf(word);
    if (kind === 'end') {
      flags.push(word);
      index += 1;
    }
    if (kind === 'end' || kind === 'destination') break;
    const list = kind === 'own' ? own : flags;
    list.push(word);
    index += 1;
    if (!takesNextWord(word, kind)) continue;
    list.push(valueAfter(argv, word, index));
    index += 1;
  }
  return { own, flags, destination: argv[index], rest: argv.slice(index + 1) };
}

type WordKind = 'own' | 'flag' | 'end' | 'destination';

function kindOf(word: string): WordKind {
  if (word === '--') return 'end';
  if (word.startsWith('--')) return 'own';
  return word.startsWith('-') && word !== '-' ? 'flag' : 'destination';
}

function takesNextWord(word: string, kind: WordKind): boolean {
  if (kind === 'own') return !word.includes('=') && word !== '--help';
  return needsValue(word);
}

/** `-p 22` and `-vp 22` take the next word, `-p22` does not. */
function needsValue(word: string): boolean {
  for (const [index, letter] of Array.from(word).entries()) {
    if (index > 0 && optionsWithValue.includes(letter)) return index === word.length - 1;
  }
  return false;
}

function valueAfter(argv: readonly string[], word: string, index: number): string {
  const value = argv[index];
  if (value === undefined) throw usageError(`${word} needs a value`, 'gate ssh --help');
  return value;
}

/** Does the destination or a flag name the login? */
export function namesLogin({
  destination,
  flags,
}: Pick<SshArguments, 'destination' | 'flags'>): boolean {
  return (destination ?? '').includes('@') || flags.some((flag) => /^-[A-Za-z0-9]*l/.test(flag));
}
