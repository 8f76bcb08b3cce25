/**
 * A recording's output as plain text, for reading and searching. Each line is what stood there in the end: carriage
 * returns, backspaces and a shell's editing of its line are followed; whatever moves to another line ends the line.
 */
import { createTokenizer, type Token } from './escapes.js';
import type { Frame } from './frames.js';

const maxLineChars = 16 * 1024;

/** The text, in pieces that end with a newline. */
export async function* toText(
  frames: AsyncIterable<Frame> | Iterable<Frame>,
): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  const tokenize = createTokenizer();
  const line = new TextLine();
  for await (const frame of frames) {
    if (frame.kind !== 'output') continue;
    let text = '';
    for (const token of tokenize(decoder.decode(frame.bytes, { stream: true })))
      text += line.apply(token);
    if (text !== '') yield text;
  }
  const last = line.finish();
  if (last !== '') yield last;
}

/** The line that is being written. */
export class TextLine {
  #characters: string[] = [];
  #column = 0;

  /** What a token completes: nothing, or lines. */
  apply(token: Token): string {
    switch (token.kind) {
      case 'text':
        return this.#print(token.text);
      case 'control':
        return this.#control(token.code);
      case 'csi':
        return this.#sequence(token.parameters, token.final);
      case 'escape':
        return token.intermediates === '' && 'DEM'.includes(token.final) ? this.finish() : '';
      case 'string':
        return '';
    }
  }

  /** The line as it is, if there is anything on it. */
  finish(): string {
    return this.#characters.length === 0 ? this.#reset('') : this.#endLine();
  }

  #print(text: string): string {
    let completed = '';
    for (const character of text) {
      this.#characters[this.#column] = character;
      this.#column += 1;
      if (this.#column >= maxLineChars) completed += this.#endLine();
    }
    return completed;
  }

  #control(code: number): string {
    if (code === 0x0a || code === 0x0b || code === 0x0c) return this.#endLine();
    if (code === 0x0d) this.#column = 0;
    if (code === 0x08) this.#column = Math.max(0, this.#column - 1);
    if (code === 0x09) return this.#print(' '.repeat(8 - (this.#column % 8)));
    return '';
  }

  #sequence(parameters: string, final: string): string {
    if (!/^[\d;]*$/.test(parameters))
      return parameters === '?1049' || parameters === '?47' ? this.finish() : '';
    const [first = 0, second = 0] = parameters
      .split(';')
      .map((text) => Math.min(Number(text) || 0, maxLineChars - 1));
    if ('ABEFHJdf'.includes(final)) return this.#leaveLine(final, second);
    this.#edit(final, Math.max(1, first), first);
    return '';
  }

  /** A move to another line, or a cleared screen: what stood here is done. */
  #leaveLine(final: string, column: number): string {
    const text = this.finish();
    if ('Hf'.includes(final)) this.#column = Math.max(0, column - 1);
    return text;
  }

  #edit(final: string, count: number, parameter: number): void {
    if (final === 'C') this.#column = Math.min(maxLineChars - 1, this.#column + count);
    if (final === 'D') this.#column = Math.max(0, this.#column - count);
    if (final === 'G' || final === '`') this.#column = count - 1;
    if (final === 'P') this.#characters.splice(this.#column, count);
    if (final === '@')
      this.#characters.splice(this.#column, 0, ...Array.from({ length: count }, () => ' '));
    if (final === 'X') this.#characters.fill(' ', this.#column, this.#column + count);
    if (final === 'K') this.#eraseInLine(parameter);
  }

  #eraseInLine(parameter: number): void {
    if (parameter === 0) this.#characters.length = Math.min(this.#characters.length, this.#column);
    else this.#characters.fill(' ', 0, parameter === 1 ? this.#column + 1 : undefined);
  }

  #endLine(): string {
    return this.#reset(
      `${Array.from(this.#characters, (character) => character ?? ' ')
        .join('')
        .trimEnd()}\n`,
    );
  }

  #reset(text: string): string {
    this.#characters = [];
    this.#column = 0;
    return text;
  }
}
