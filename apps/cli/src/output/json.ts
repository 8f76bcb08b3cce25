import type { Environment } from '../environment.js';
import { escapeControls } from './text.js';

/** One document, or one object of a stream, on a line of stdout. */
export function writeJson(environment: Pick<Environment, 'stdout'>, value: unknown): void {
  environment.stdout.write(`${escapeControls(JSON.stringify(value))}\n`);
}
