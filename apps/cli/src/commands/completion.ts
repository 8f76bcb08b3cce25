import { defineCommand, exitCodes } from '../command.js';
import { formatCompletion, isShell } from '../completion-scripts.js';
import { usageError } from '../errors.js';

/** `gate completion` */
export const command = defineCommand({
  name: 'completion',
  usage: 'bash|zsh|fish',
  summary: 'print a completion script for a shell',
  help: {
    examples: [
      'gate completion bash > /etc/bash_completion.d/gate',
      'source <(gate completion zsh)',
      'gate completion fish | source',
    ],
  },
  options: {},
  arguments: { min: 1, max: 1 },
  async run({ environment, registry, arguments: [shell = ''] }) {
    if (!isShell(shell)) throw usageError(`no completion for "${shell}": bash, zsh or fish`);
    environment.stdout.write(formatCompletion(shell, await registry.loadAll()));
    return exitCodes.done;
  },
});
