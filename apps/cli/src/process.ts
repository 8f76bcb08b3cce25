/** The process: what it is given, where its output goes, its exit code. The program itself begins in cli.ts. */
import { dirname, resolve } from 'node:path';

import { systemClock } from '@gatehouse/kit/clock';

import { runCommandLine } from './cli.js';
import { exitCodes } from './command.js';
import type { Environment } from './environment.js';
import { createRegistry, type CommandFiles } from './registry.js';

/** Set by the build. */
declare const GATE_VERSION: string | undefined;

/** Runs the command line of this process and ends it. */
export function runProcess(files: CommandFiles): void {
  const environment: Environment = {
    // oxlint-disable-next-line node/no-process-env -- kit/config would load zod and yaml at each start of `gate proxy ssh`
    variables: process.env,
    stdout: process.stdout,
    stderr: process.stderr,
    stdin: process.stdin,
    clock: systemClock,
    programPath: resolve(dirname(process.argv[1] ?? ''), '../../../bin/gate'),
    version: typeof GATE_VERSION === 'undefined' ? 'source' : GATE_VERSION,
  };
  // Whoever reads the output has gone, as `head` does: nothing more to say, and nobody to say it to.
  process.stdout.on('error', () => process.exit(exitCodes.failed));
  process.stderr.on('error', () => undefined);
  runCommandLine(process.argv.slice(2), environment, createRegistry(files)).then(
    (code) => process.stdout.write('', (lost) => process.exit(lost ? exitCodes.failed : code)),
    () => process.exit(exitCodes.failed),
  );
}
