/** Completion of commands and options. The scripts hold all words, so that completing starts no program. */
import { globalOptions, type Command } from './command.js';

const shells = ['bash', 'zsh', 'fish'] as const;
/** A shell that there is a script for. */
export type Shell = (typeof shells)[number];

/** Is there a script for it? */
export function isShell(text: string): text is Shell {
  return shells.some((shell) => shell === text);
}

/** The script for a shell, with all words of `commands`. */
export function formatCompletion(shell: Shell, commands: readonly Command[]): string {
  switch (shell) {
    case 'bash':
      return formatBash(commands);
    case 'zsh':
      return `#compdef gate\nautoload -U +X bashcompinit && bashcompinit\n${formatBash(commands)}`;
    case 'fish':
      return formatFish(commands);
  }
}

function flagsOf(command: Command): string[] {
  return [...Object.keys(command.options), ...Object.keys(globalOptions)].map(
    (name) => `--${name}`,
  );
}

/** Which words may follow which beginnings of a line: `audit` → search, tail, …; the empty one comes first. */
function followers(commands: readonly Command[]): Map<string, string[]> {
  const words = new Map<string, string[]>();
  for (const { name } of commands) {
    const parts = name.split(' ');
    for (const [index, word] of parts.entries()) {
      const before = parts.slice(0, index).join(' ');
      const known = words.get(before) ?? [];
      if (!known.includes(word)) words.set(before, [...known, word]);
    }
  }
  return words;
}

function formatBash(commands: readonly Command[]): string {
  const longestFirst = commands.toSorted((a, b) => b.name.length - a.name.length);
  return [
    '_gate() {',
    '  local current=${COMP_WORDS[COMP_CWORD]} words=',
    '  local -a before=("${COMP_WORDS[@]:1:COMP_CWORD-1}")',
    '  if [ "${current#-}" != "$current" ]; then',
    '    case "${before[*]} " in',
    ...longestFirst.map(
      (command) => `      "${command.name} "*) words="${flagsOf(command).join(' ')}" ;;`,
    ),
    '    esac',
    '  else',
    '    case "${before[*]}" in',
    ...[...followers(commands)].map(
      ([before, words]) => `      "${before}") words="${words.join(' ')}" ;;`,
    ),
    '    esac',
    '  fi',
    '  COMPREPLY=($(compgen -W "$words" -- "$current"))',
    '}',
    'complete -o default -F _gate gate',
    '',
  ].join('\n');
}

function formatFish(commands: readonly Command[]): string {
  const seen = (words: string) => {
    if (words === '') return '-n __fish_use_subcommand';
    const each = words.split(' ').map((word) => `__fish_seen_subcommand_from ${word}`);
    return `-n '${each.join('; and ')}'`;
  };
  const words = [...followers(commands)].flatMap(([before, next]) =>
    next.map((word) => `complete -c gate ${seen(before)} -f -a ${word}`),
  );
  const flags = commands.flatMap(({ name, options }) =>
    Object.keys(options).map((option) => `complete -c gate ${seen(name)} -l ${option}`),
  );
  return `${[...words, ...flags].join('\n')}\n`;
}
