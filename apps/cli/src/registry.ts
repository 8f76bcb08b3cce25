/** The list of commands. Each is loaded when it runs. */
import type { Command, Registry } from './command.js';

type Loader = () => Promise<{ readonly command: unknown }>;
/** Commands by name, each with what loads it. */
export type CommandFiles = Readonly<Record<string, Loader>>;

/**
 * Commands that need no service: they are bundled once more by themselves, since `gate proxy ssh` runs at each start
 * of ssh. Nothing that they import may lead to gRPC or zod.
 */
export const localCommands: CommandFiles = {
  status: () => import('./commands/status.js'),
  ssh: () => import('./commands/ssh.js'),
  'proxy ssh': () => import('./commands/proxy-ssh.js'),
  config: () => import('./commands/config.js'),
  version: () => import('./commands/version.js'),
};

/** A registry over `files`. */
export function createRegistry(files: CommandFiles): Registry {
  const names = Object.keys(files);
  const has = (name: string) => Object.hasOwn(files, name);
  const load = async (name: string): Promise<Command | undefined> => {
    const file = has(name) ? files[name] : undefined;
    if (file === undefined) return undefined;
    const { command } = await file();
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- defineCommand checked it; only the type of its option table is forgotten here
    return command as Command;
  };
  const loadAll = async () => {
    const commands = await Promise.all(names.map(load));
    return commands.filter((command) => command !== undefined);
  };
  return { names, has, load, loadAll };
}
