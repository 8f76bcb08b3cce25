/**
 * What a command is. Each file of `commands/` exports one `command`; `registry.ts` lists them and loads only the one
 * that runs.
 */
import type { Environment } from './environment.js';

/** Exit codes of `gate`, but for `ssh`, which ends with the remote command's own. */
export const exitCodes = {
  done: 0,
  failed: 1,
  wrongUsage: 2,
  refused: 3,
  noConnection: 255,
} as const;

/** One option of a command. */
export interface OptionSpec {
  readonly type: 'boolean' | 'text' | 'list';
  /** Name of the value in help: `NAME`. */
  readonly value?: string;
  readonly short?: string;
  readonly help: string;
}

/** The options of a command, by their long names. */
export type OptionTable = Readonly<Record<string, OptionSpec>>;

/** What the options of a table are given as: flags, texts, and lists for those that may stand several times. */
export type OptionValues<Table extends OptionTable> = {
  readonly [Name in keyof Table]: Table[Name]['type'] extends 'boolean'
    ? boolean
    : Table[Name]['type'] extends 'list'
      ? readonly string[]
      : string | undefined;
};

/** Options that every command takes. */
export const globalOptions = {
  proxy: {
    type: 'text',
    value: 'HOST:PORT',
    help: 'which cluster; default: the one logged in to last',
  },
  'ca-pin': {
    type: 'list',
    value: 'sha256:…',
    help: 'needed once, where no public authority signed its certificate',
  },
  format: { type: 'text', value: 'text|json', help: 'json: one document on stdout' },
  home: { type: 'text', value: 'DIR', help: 'profile directory in place of $GATE_HOME' },
  help: { type: 'boolean', short: 'h', help: 'show this' },
} as const satisfies OptionTable;

/** What every command is given, whatever its own options. */
export interface GlobalCall {
  readonly environment: Environment;
  readonly options: OptionValues<typeof globalOptions>;
}

/** The commands that a process offers. */
export interface Registry {
  readonly names: readonly string[];
  has(name: string): boolean;
  /** Undefined where there is none of the name. */
  load(name: string): Promise<Command | undefined>;
  loadAll(): Promise<readonly Command[]>;
}

/** One run of a command. */
export interface CommandCall<Table extends OptionTable> extends GlobalCall {
  readonly registry: Registry;
  readonly options: OptionValues<Table> & OptionValues<typeof globalOptions>;
  readonly arguments: readonly string[];
}

/** A command: what it is called, what it takes, what it does. */
export interface Command<Table extends OptionTable = OptionTable> {
  /** `sessions end` */
  readonly name: string;
  /** What follows the name: `ID [--yes]`. */
  readonly usage: string;
  /** One line. */
  readonly summary: string;
  readonly help: { readonly examples: readonly string[]; readonly notes?: readonly string[] };
  readonly options: Table;
  /** How many arguments it takes. */
  readonly arguments: { readonly min: number; readonly max: number };
  /** True: everything after the name is handed over as it is, in `arguments`. */
  readonly raw?: true;
  /** @returns the exit code */
  run(call: CommandCall<Table>): Promise<number>;
}

/** Ties the types of a command's options to its `run`. */
export function defineCommand<const Table extends OptionTable>(
  command: Command<Table>,
): Command<Table> {
  return command;
}
