import { spawn } from 'node:child_process';
import { constants } from 'node:os';

/**
 * Runs a program in the place of this one: same terminal, same streams. Signals from the terminal reach it by
 * themselves; this process waits for its end.
 * @param variables its environment; default: this process's own
 * @returns its exit code, or 128 + the number of the signal that ended it
 */
export async function runForeground(
  program: string,
  args: readonly string[],
  variables?: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const child = spawn(program, args, {
    stdio: 'inherit',
    ...(variables === undefined ? {} : { env: variables }),
  });
  const ignore = () => undefined;
  const forward = (signal: NodeJS.Signals) => child.kill(signal);
  process.on('SIGINT', ignore).on('SIGQUIT', ignore);
  process.on('SIGTERM', forward).on('SIGHUP', forward);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => {
        resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
      });
    });
  } finally {
    process.off('SIGINT', ignore).off('SIGQUIT', ignore);
    process.off('SIGTERM', forward).off('SIGHUP', forward);
  }
}
