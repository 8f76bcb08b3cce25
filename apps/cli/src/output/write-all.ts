import type { TextOutput } from '../environment.js';

/** Writes and resolves when the output has taken it, so that a slow reader slows the writer. */
export async function writeAll(output: TextOutput, text: string): Promise<void> {
  await new Promise<void>((resolve) => {
    output.write(text, () => resolve());
  });
}
