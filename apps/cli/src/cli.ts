/**
 * From a command line to an exit code: find the command, read its options, run it, report what went wrong.
 * Commands are loaded one at a time, since most of the start is loading.
 */
import { findFormat, parseArguments, withDefaults, type ParsedArguments } from './arguments.js';
import {
  exitCodes,
  globalOptions,
  type Command,
  type CommandCall,
  type OptionTable,
  type OptionValues,
  type Registry,
} from './command.js';
import type { Environment } from './environment.js';
import { usageError } from './errors.js';
import { formatCommandHelp, formatOverview } from './help.js';
import { findNearest } from './nearest.js';
import { reportError } from './output/report-error.js';

/** Runs one command line (without the program's name). Never throws. */
export async function runCommandLine(
  argv: readonly string[],
  environment: Environment,
  registry: Registry,
): Promise<number> {
  try {
    return await dispatch(argv, { environment, registry });
  } catch (thrown) {
    return reportError(environment, thrown, findFormat(argv));
  }
}

interface World {
  readonly environment: Environment;
  readonly registry: Registry;
}

async function dispatch(argv: readonly string[], world: World): Promise<number> {
  const [first] = argv;
  if (first === undefined || first === '--help' || first === '-h' || first === 'help') {
    return showHelp(argv.slice(1), world);
  }
  if (first === '--version') return dispatch(['version', ...argv.slice(1)], world);
  const name = findCommandName(argv, world.registry);
  const command = name === undefined ? undefined : await world.registry.load(name);
  if (name === undefined || command === undefined) return explainUnknown(argv, world);
  return runCommand(command, argv.slice(name.split(' ').length), world);
}

async function runCommand(
  command: Command,
  argv: readonly string[],
  world: World,
): Promise<number> {
  const parsed: ParsedArguments = command.raw
    ? { values: withDefaults({ help: isHelp(argv) }, globalOptions), positionals: argv }
    : parseArguments(argv, command);
  if (parsed.values['help'] === true) {
    world.environment.stdout.write(formatCommandHelp(command));
    return exitCodes.done;
  }
  return command.run(toCall(parsed, world));
}

function isHelp(argv: readonly string[]): boolean {
  return argv.length === 1 && (argv[0] === '--help' || argv[0] === '-h');
}

function toCall(parsed: ParsedArguments, world: World): CommandCall<OptionTable> {
  const format = parsed.values['format'];
  if (format !== undefined && format !== 'text' && format !== 'json') {
    throw usageError(`--format is text or json, not ${String(format)}`);
  }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- parseArguments made these values from the same table
  const options = parsed.values as OptionValues<OptionTable> & OptionValues<typeof globalOptions>;
  return { ...world, options, arguments: parsed.positionals };
}

/** As `audit dead ls`. */
const maxNameWords = 3;

/** What the line may begin with, the longest first. */
function beginnings(argv: readonly string[]): string[] {
  return Array.from({ length: maxNameWords }, (_, index) =>
    argv.slice(0, maxNameWords - index).join(' '),
  );
}

/** The longest name of a command that the line begins with. */
function findCommandName(argv: readonly string[], registry: Registry): string | undefined {
  return beginnings(argv).find((name) => registry.has(name));
}

async function explainUnknown(argv: readonly string[], world: World): Promise<number> {
  const { names } = world.registry;
  const group = beginnings(argv).find((words) =>
    names.some((name) => name.startsWith(`${words} `)),
  );
  const next = argv[group?.split(' ').length ?? 0] ?? '';
  if (group !== undefined && (next === '' || isHelp([next]))) return showHelp([group], world);
  const typed = group === undefined ? next : `${group} ${next}`;
  const inGroup = names.filter((name) => group !== undefined && name.startsWith(`${group} `));
  const nearest = findNearest(
    typed,
    group === undefined ? [...names, ...groupsOf(names)] : inGroup,
  );
  const hint = nearest === undefined ? '' : `; did you mean gate ${nearest}?`;
  throw usageError(`unknown command: gate ${typed}${hint}`, 'gate --help');
}

function groupsOf(names: readonly string[]): string[] {
  return [...new Set(names.map((name) => name.split(' ')[0] ?? name))];
}

async function showHelp(
  words: readonly string[],
  { environment, registry }: World,
): Promise<number> {
  const name = words.filter((word) => !word.startsWith('-')).join(' ');
  const command = await registry.load(name);
  if (command !== undefined) {
    environment.stdout.write(formatCommandHelp(command));
    return exitCodes.done;
  }
  const commands = await registry.loadAll();
  const group = commands.filter((known) => name === '' || known.name.startsWith(`${name} `));
  if (group.length === 0) throw usageError(`unknown command: gate ${name}`, 'gate --help');
  environment.stdout.write(formatOverview(group));
  return exitCodes.done;
}
