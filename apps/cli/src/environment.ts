/** What a command may touch of the world around it; tests give their own. */
import type { Clock } from '@gatehouse/kit/clock';

/** Somewhere to write text; `done` is called when it has been taken. */
export interface TextOutput {
  write(text: string, done?: () => void): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** The streams, variables and clock of one run. */
export interface Environment {
  readonly variables: Readonly<Record<string, string | undefined>>;
  readonly stdout: TextOutput;
  readonly stderr: TextOutput;
  readonly stdin: NodeJS.ReadStream;
  readonly clock: Clock;
  /** Absolute path of the program itself, for files that call it. */
  readonly programPath: string;
  readonly version: string;
}

/** `--format` */
export type OutputFormat = 'text' | 'json';
