import { userInfo } from 'node:os';

import type { GlobalCall } from '../command.js';
import { findLastUser } from '../profile/last-user.js';
import { askLine, canAsk, type ScriptFlags } from '../terminal.js';

/** Name of the person's OS user; empty where it has none. */
export function osUserName(): string {
  try {
    return userInfo().username;
  } catch {
    return '';
  }
}

/** `--user`, else `$GATE_USER`, else the one who logged in here last; on a terminal asked for, else the OS user. */
export async function chooseUser(
  {
    environment,
    options,
  }: {
    environment: GlobalCall['environment'];
    options: ScriptFlags & { readonly user?: string | undefined };
  },
  home: string,
  proxy: string,
): Promise<string> {
  const named = options.user ?? environment.variables['GATE_USER'];
  if (named !== undefined && named !== '') return named;
  const proposed = findLastUser(home, proxy) ?? osUserName();
  if (!canAsk(environment, options)) return proposed;
  const answer = await askLine(environment, `User [${proposed}]: `);
  return answer.trim() === '' ? proposed : answer.trim();
}
