/**
 * The startup parameter `options`: a command line for the server process (PostgreSQL §20.1.4, §55.2.1). Blanks separate
 * words, a backslash makes the character after it an ordinary one. Text is one character for each byte.
 */

/** A part of `options`: a setting, which may be two words, or a word that is none. */
export interface StartupOption {
  /** In lower case with `_` for `-`, as a server compares them; undefined: no setting we can read. */
  readonly name: string | undefined;
  readonly value: string;
  /** As it was written, escapes included. */
  readonly raw: string;
}

interface Word {
  readonly text: string;
  readonly raw: string;
}

/**
 * Reads `-c name=value`, `-cname=value` and `--name=value`. Whatever else there is has no name: a server may see a
 * setting in it (`-ec role=x`), so that it must not be let through where settings matter.
 */
export function parseStartupOptions(options: string): StartupOption[] {
  const words = splitWords(options);
  const parsed: StartupOption[] = [];
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index];
    if (word === undefined) break;
    const next = word.text === '-c' ? words[index + 1] : undefined;
    if (next === undefined) {
      parsed.push(parseSetting(settingText(word.text), word.raw));
    } else {
      parsed.push(parseSetting(next.text, `${word.raw} ${next.raw}`));
      index += 1;
    }
  }
  return parsed;
}

/** The value of `options` that holds just these. */
export function formatStartupOptions(options: readonly StartupOption[]): string {
  return options.map(({ raw }) => raw).join(' ');
}

function settingText(word: string): string {
  return word.startsWith('--') || word.startsWith('-c') ? word.slice(2) : '';
}

function parseSetting(text: string, raw: string): StartupOption {
  const separator = text.indexOf('=');
  if (separator < 1) return { name: undefined, value: '', raw };
  const name = text.slice(0, separator).replaceAll('-', '_').toLowerCase();
  return { name, value: text.slice(separator + 1), raw };
}

/** One pass: each character is looked at once. */
function splitWords(options: string): Word[] {
  const words: Word[] = [];
  let start = -1;
  let text = '';
  for (let at = 0; at < options.length; at += 1) {
    const char = options.charAt(at);
    if (isBlank(char)) {
      if (start >= 0) words.push({ text, raw: options.slice(start, at) });
      start = -1;
      text = '';
      continue;
    }
    if (start < 0) start = at;
    if (char === '\\') at += 1;
    text += char === '\\' ? options.charAt(at) : char;
  }
  if (start >= 0) words.push({ text, raw: options.slice(start) });
  return words;
}

/** As C's isspace in its own locale. */
function isBlank(char: string): boolean {
  return char === ' ' || (char >= '\t' && char <= '\r');
}
