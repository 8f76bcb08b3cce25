/** What the screen showed: xterm's own terminal without a window, so that vim and tmux come out right. */
import xterm from '@xterm/headless';

import { boundSize, type Frame } from './frames.js';

/** A screen at one moment. */
export interface Screen {
  readonly columns: number;
  readonly rows: number;
  /** One text a row, without trailing blanks. */
  readonly lines: readonly string[];
  readonly cursor: { readonly column: number; readonly row: number };
}

/** A terminal that frames are applied to; answers that a host asks for go nowhere. */
export class ScreenModel implements Disposable {
  readonly #terminal: xterm.Terminal;

  constructor(columns = 80, rows = 24) {
    const size = boundSize(columns, rows);
    this.#terminal = new xterm.Terminal({
      cols: size.columns,
      rows: size.rows,
      scrollback: 0,
      allowProposedApi: true,
    });
  }

  /** Applies a frame; resolves when the terminal has drawn it. */
  async apply(frame: Frame): Promise<void> {
    if (frame.kind === 'output') await this.#write(frame.bytes);
    if (frame.kind === 'resize') this.#resize(frame.columns, frame.rows);
    if (frame.kind === 'header') this.#resize(frame.header.columns, frame.header.rows);
  }

  screen(): Screen {
    const { active } = this.#terminal.buffer;
    const { cols: columns, rows } = this.#terminal;
    const lines = Array.from(
      { length: rows },
      (_, row) =>
        active
          .getLine(active.viewportY + row)
          ?.translateToString(true)
          .trimEnd() ?? '',
    );
    return { columns, rows, lines, cursor: { column: active.cursorX, row: active.cursorY } };
  }

  [Symbol.dispose](): void {
    this.#terminal.dispose();
  }

  #resize(columns: number, rows: number): void {
    const size = boundSize(columns, rows);
    this.#terminal.resize(size.columns, size.rows);
  }

  async #write(bytes: Uint8Array): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#terminal.write(bytes, resolve);
    });
  }
}

/**
 * The screen after all frames.
 * @param untilMs stop there, ms since the recording began; default: the end
 */
export async function lastScreen(
  frames: AsyncIterable<Frame> | Iterable<Frame>,
  untilMs = Infinity,
): Promise<Screen> {
  using model = new ScreenModel();
  for await (const frame of frames) {
    if (frame.ms > untilMs) break;
    await model.apply(frame);
  }
  return model.screen();
}
