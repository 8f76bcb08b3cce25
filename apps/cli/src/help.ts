/** Help texts: of one command, and of all. */
import { exitCodes, globalOptions, type Command, type OptionTable } from './command.js';

/** Purpose, usage, examples, options, exit codes. */
export function formatCommandHelp(command: Command): string {
  const sections = [
    command.summary,
    `usage: gate ${command.name}${command.usage === '' ? '' : ` ${command.usage}`}`,
    section('examples', command.help.examples),
    section('options', formatOptions(command.options)),
    section('for every command', formatOptions(globalOptions)),
    ...(command.help.notes === undefined ? [] : [command.help.notes.join('\n')]),
    `exit codes: ${exitCodes.done} done · ${exitCodes.failed} failed · ${exitCodes.wrongUsage} wrong usage · ${exitCodes.refused} refused by policy`,
  ];
  return `${sections.filter((text) => text !== '').join('\n\n')}\n`;
}

function section(title: string, lines: readonly string[]): string {
  return lines.length === 0 ? '' : [`${title}:`, ...lines.map((line) => `  ${line}`)].join('\n');
}

function formatOptions(table: OptionTable): string[] {
  const rows = Object.entries(table).map(([name, spec]) => {
    const short = spec.short === undefined ? '' : `-${spec.short}, `;
    const value = spec.value === undefined ? '' : ` ${spec.value}`;
    return { flag: `${short}--${name}${value}`, help: spec.help };
  });
  const width = Math.max(0, ...rows.map((row) => row.flag.length));
  return rows.map((row) => `${row.flag.padEnd(width)}  ${row.help}`);
}

/** All commands, a line each. */
export function formatOverview(commands: readonly Command[]): string {
  const rows = commands.map((command) => ({ name: command.name, summary: command.summary }));
  const width = Math.max(...rows.map((row) => row.name.length));
  return [
    'gate: log in once, reach every resource',
    '',
    'usage: gate COMMAND [options]',
    '',
    'commands:',
    ...rows.map((row) => `  ${row.name.padEnd(width)}  ${row.summary}`),
    '',
    'gate COMMAND --help says more. First steps: gate login, gate ls, gate ssh you@host.',
    '',
  ].join('\n');
}
