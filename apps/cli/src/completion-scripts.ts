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

function firstWords(commands: readonly Command[]): string[] {
  return [...new Set(commands.map(({ name }) => name.split(' ')[0] ?? name))];
}

function secondWords(commands: readonly Command[], first: string): string[] {
  return commands.flatMap(({ name }) => {
    const [group, verb] = name.split(' ');
    return group === first && verb !== undefined ? [verb] : [];
  });
}

function formatBash(commands: readonly Command[]): string {
  const groups = firstWords(commands).map((first) => ({
    first,
    verbs: secondWords(commands, first),
  }));
  return [
    '_gate() {',
    '  local current=${COMP_WORDS[COMP_CWORD]} words=',
    '  if [ "$COMP_CWORD" -eq 1 ]; then',
    `    words="${firstWords(commands).join(' ')}"`,
    '  elif [ "${current#-}" != "$current" ]; then',
    '    case "${COMP_WORDS[1]} ${COMP_WORDS[2]}" in',
    ...commands.map(
      (command) =>
        `      "${command.name}"${command.name.includes(' ') ? '' : '\\ *'}) words="${flagsOf(command).join(' ')}" ;;`,
    ),
    '    esac',
    '  elif [ "$COMP_CWORD" -eq 2 ]; then',
    '    case "${COMP_WORDS[1]}" in',
    ...groups
      .filter(({ verbs }) => verbs.length > 0)
      .map(({ first, verbs }) => `      ${first}) words="${verbs.join(' ')}" ;;`),
    '    esac',
    '  fi',
    '  COMPREPLY=($(compgen -W "$words" -- "$current"))',
    '}',
    'complete -o default -F _gate gate',
    '',
  ].join('\n');
}

function formatFish(commands: readonly Command[]): string {
  const first = firstWords(commands).map(
    (word) => `complete -c gate -n __fish_use_subcommand -f -a ${word}`,
  );
  const rest = commands.flatMap((command) => {
    const [group = '', verb] = command.name.split(' ');
    const inGroup = `-n '__fish_seen_subcommand_from ${group}'`;
    const verbs = verb === undefined ? [] : [`complete -c gate ${inGroup} -f -a ${verb}`];
    const seen =
      verb === undefined
        ? inGroup
        : `-n '__fish_seen_subcommand_from ${group}; and __fish_seen_subcommand_from ${verb}'`;
    return [
      ...verbs,
      ...Object.keys(command.options).map((name) => `complete -c gate ${seen} -l ${name}`),
    ];
  });
  return `${[...first, ...rest].join('\n')}\n`;
}
