import { execFileSync } from 'node:child_process';

import { describe, expect, it } from 'vitest';

import { allCommands } from './all-commands.js';
import { formatCompletion } from './completion-scripts.js';
import { createRegistry } from './registry.js';

describe('formatCompletion', () => {
  it.each([
    [['gate', 'ses'], 'sessions'],
    [['gate', 'sessions', ''], 'ls end'],
    [['gate', 'login', '--ot'], '--otp'],
    [['gate', 'sessions', 'end', '--y'], '--yes'],
    [['gate', 'audit', 'd'], 'dead'],
    [['gate', 'audit', 'dead', ''], 'ls replay'],
    [['gate', 'audit', 'dead', 'replay', '--y'], '--yes'],
    [['gate', 'nothing', ''], ''],
  ])('makes bash complete %j with %j', async (words, expected) => {
    const script = formatCompletion('bash', await createRegistry(allCommands).loadAll());
    const line = words.map((word) => `'${word}'`).join(' ');
    const ask = `COMP_WORDS=(${line}); COMP_CWORD=${words.length - 1}; _gate; echo "\${COMPREPLY[*]}"`;
    expect(execFileSync('bash', ['-c', `${script}\n${ask}`], { encoding: 'utf8' })).toBe(
      `${expected}\n`,
    );
  });

  it('names every command and option for fish and zsh too', async () => {
    const commands = await createRegistry(allCommands).loadAll();
    for (const script of [formatCompletion('fish', commands), formatCompletion('zsh', commands)]) {
      for (const { name } of commands) expect(script).toContain(name.split(' ').at(-1));
    }
  });
});
