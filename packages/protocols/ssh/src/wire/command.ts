/** Which file tool a command line starts on the target, as scp, rsync and sftp clients word it. */

export interface TransferCommand {
  readonly tool: 'scp' | 'rsync' | 'sftp';
  /** From the person's view; undefined for sftp, which does both, and for scp whose flags contradict each other. */
  readonly direction: 'upload' | 'download' | undefined;
  /** What the command names, as text. */
  readonly path: string;
}

/** Longest command that is looked at; file tools' own are far shorter. */
const maxCommandBytes = 16_384;

/**
 * The transfer that a command is, or undefined. Only what the tools themselves send is recognised: a shell line that
 * calls them in another way is a shell's business and audited as a command.
 */
export function parseTransferCommand(command: Buffer): TransferCommand | undefined {
  if (command.length > maxCommandBytes) return undefined;
  // Servers in C end the command at NUL.
  const words = splitWords(command.toString('utf8').replace(/\0.*$/s, ''));
  const name = words[0]?.split('/').at(-1);
  const rest = words.slice(1);
  if (name === 'scp') return parseScp(rest);
  if (name === 'rsync') return parseRsync(rest);
  if (name === 'sftp-server') return { tool: 'sftp', direction: undefined, path: '' };
  return undefined;
}

/** Letters of scp whose argument is behind them, or the next word. */
const attachedArgument = /[cDFiJloPSX].*$/s;
const takesNextWord = /^-.*[cDFiJloPSX]$/s;

/** Flags count wherever they stand: some builds of scp also read those behind the paths. */
function parseScp(words: readonly string[]): TransferCommand | undefined {
  const end = words.findIndex(
    (word, index) => word === '--' && !takesNextWord.test(words[index - 1] ?? ''),
  );
  const before = end === -1 ? words : words.slice(0, end);
  const isFlags = (word: string) => word.startsWith('-');
  const flags = before.filter(isFlags).map((word) => word.replace(attachedArgument, ''));
  const directions = new Set<'upload' | 'download'>();
  if (flags.some((word) => word.includes('t'))) directions.add('upload');
  if (flags.some((word) => word.includes('f'))) directions.add('download');
  if (directions.size === 0) return undefined;
  const [direction] = directions.size === 1 ? directions : [];
  const paths = before.filter((word) => !isFlags(word));
  if (end !== -1) paths.push(...words.slice(end + 1));
  return { tool: 'scp', direction, path: paths.join(' ') };
}

function parseRsync(words: readonly string[]): TransferCommand | undefined {
  if (words[0] !== '--server') return undefined;
  const direction = words.includes('--sender') ? 'download' : 'upload';
  const dot = words.indexOf('.');
  const paths = dot === -1 ? words.slice(-1) : words.slice(dot + 1);
  return { tool: 'rsync', direction, path: paths.join(' ') };
}

const wordTokens = /\\([\s\S])|'([^']*)'|"((?:[^"\\]|\\[\s\S])*)"|(\s+)|([\s\S])/g;

/** Splits as a POSIX shell does for plain words, quotes and backslashes; substitutions stay text. */
function splitWords(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  for (const token of line.matchAll(wordTokens)) {
    if (token[4] === undefined) {
      word = (word ?? '') + tokenText(token);
    } else if (word !== undefined) {
      words.push(word);
      word = undefined;
    }
  }
  if (word !== undefined) words.push(word);
  return words;
}

function tokenText([, escaped, single, double, , plain]: RegExpExecArray): string {
  return escaped ?? single ?? double?.replace(/\\([$`"\\])/g, '$1') ?? plain ?? '';
}
