/** Gatehouse as it runs for tests, in one process (home.ts) or in many (cluster.ts): where it is and how people reach it. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { run, type RunOptions, type RunResult } from './run.js';

/** This tree. */
export const root = join(import.meta.dirname, '../..');

/** ready.json (contract.md §1). */
export interface Ready {
  readonly version: number;
  readonly pid: number;
  readonly clusterName: string;
  readonly proxyAddr: string;
  readonly webUrl: string;
  readonly caPin: string;
  readonly adminInviteUrl: string | null;
  readonly metricsUrl: string;
  readonly startedAt: string;
}

export abstract class Installation implements AsyncDisposable {
  /** For all files of the test. */
  abstract readonly dir: string;
  /** The tree that it runs from. */
  readonly root: string = root;
  abstract readonly ready: Ready;
  /** What it said so far, of all its processes. */
  abstract readonly log: string;

  /** A folder for a person's or an agent's files. */
  folder(name: string): string {
    const path = join(this.dir, name);
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return path;
  }

  /** `bin/gate` as somebody. */
  async gate(home: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return run(join(root, 'bin/gate'), args, {
      ...options,
      env: {
        GATE_HOME: home,
        GATE_PROXY: this.ready.proxyAddr,
        GATE_CA_PIN: this.ready.caPin,
        NO_COLOR: '1',
        ...options.env,
      },
    });
  }

  abstract [Symbol.asyncDispose](): Promise<void>;
}
