/** The list of commands. Each is loaded when it runs. */
import type { Command } from './command.js';

type Loader = () => Promise<{ readonly command: unknown }>;

const files: Readonly<Record<string, Loader>> = {
  login: () => import('./commands/login.js'),
  status: () => import('./commands/status.js'),
  logout: () => import('./commands/logout.js'),
  ls: () => import('./commands/ls.js'),
  ssh: () => import('./commands/ssh.js'),
  'proxy ssh': () => import('./commands/proxy-ssh.js'),
  config: () => import('./commands/config.js'),
  'sessions ls': () => import('./commands/sessions-ls.js'),
  'sessions end': () => import('./commands/sessions-end.js'),
  'recordings ls': () => import('./commands/recordings-ls.js'),
  'recordings play': () => import('./commands/recordings-play.js'),
  'recordings export': () => import('./commands/recordings-export.js'),
  'audit search': () => import('./commands/audit-search.js'),
  'audit tail': () => import('./commands/audit-tail.js'),
  'audit export': () => import('./commands/audit-export.js'),
  'invite accept': () => import('./commands/invite-accept.js'),
  'users add': () => import('./commands/users-add.js'),
  'users reset': () => import('./commands/users-reset.js'),
  'tokens add': () => import('./commands/tokens-add.js'),
  'agents ls': () => import('./commands/agents-ls.js'),
  'agents show': () => import('./commands/agents-show.js'),
  get: () => import('./commands/get.js'),
  apply: () => import('./commands/apply.js'),
  edit: () => import('./commands/edit.js'),
  delete: () => import('./commands/delete.js'),
  lock: () => import('./commands/lock.js'),
  'access explain': () => import('./commands/access-explain.js'),
  'ca export': () => import('./commands/ca-export.js'),
  completion: () => import('./commands/completion.js'),
  version: () => import('./commands/version.js'),
};

export const commandNames: readonly string[] = Object.keys(files);

export function hasCommand(name: string): boolean {
  return Object.hasOwn(files, name);
}

/** Loads one command; undefined where there is none of the name. */
export async function loadCommand(name: string): Promise<Command | undefined> {
  const load = hasCommand(name) ? files[name] : undefined;
  if (load === undefined) return undefined;
  const { command } = await load();
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- defineCommand checked it; only the option table's type is forgotten here
  return command as Command;
}

export async function loadAllCommands(): Promise<readonly Command[]> {
  const commands = await Promise.all(commandNames.map(loadCommand));
  return commands.filter((command) => command !== undefined);
}
