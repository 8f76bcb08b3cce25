/** A person at a terminal (SSH-02 and Must-show B): tmux types, vim writes, ctrl-C interrupts, the recording shows the same screen. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { waitForEvent } from '../stack/events.js';
import type { Person } from '../stack/person.js';
import { eventually, run } from '../stack/run.js';
import { createWorld, type World } from '../stack/world.js';

class Terminal implements AsyncDisposable {
  readonly #socket: string;
  readonly #dir: string;
  constructor() {
    this.#dir = mkdtempSync(join(tmpdir(), 'gatehouse-tmux-'));
    this.#socket = join(this.#dir, 's');
  }
  async tmux(...args: string[]): Promise<string> {
    const result = await run('tmux', ['-S', this.#socket, '-f', '/dev/null', ...args]);
    if (result.code !== 0) throw new Error(`tmux ${args.join(' ')}: ${result.stderr}`);
    return result.stdout;
  }
  async open(
    command: string,
    size: { columns: number; rows: number },
    env: Record<string, string>,
  ): Promise<void> {
    const variables = Object.entries(env).flatMap(([name, value]) => ['-e', `${name}=${value}`]);
    await this.tmux(
      'new-session',
      '-d',
      '-x',
      String(size.columns),
      '-y',
      String(size.rows),
      ...variables,
      command,
    );
    await this.tmux('set-option', '-g', 'status', 'off');
    await this.tmux('set-option', '-g', 'remain-on-exit', 'on');
  }
  async type(text: string): Promise<void> {
    await this.tmux('send-keys', '-l', text);
    await this.tmux('send-keys', 'Enter');
  }
  async key(...names: string[]): Promise<void> {
    await this.tmux('send-keys', ...names);
  }
  async screen(): Promise<string> {
    return this.tmux('capture-pane', '-p');
  }
  async waitFor(text: string | RegExp): Promise<string> {
    let last = '';
    try {
      return await eventually(`${String(text)} on the screen`, async () => {
        last = await this.screen();
        return (typeof text === 'string' ? last.includes(text) : text.test(last))
          ? last
          : undefined;
      });
    } catch (thrown) {
      throw new Error(`the screen was:\n${last}`, { cause: thrown });
    }
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await run('tmux', ['-S', this.#socket, 'kill-server']);
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

const trimScreen = (screen: string) =>
  screen
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
    .trimEnd();

describe('a person at a terminal', () => {
  let world: World;
  let alice: Person;
  beforeAll(async () => {
    world = await createWorld({ only: 'staging' });
    alice = world.person('alice');
  });
  afterAll(async () => world[Symbol.asyncDispose]());

  it('resizes, edits with vim, interrupts, and finds the same last screen in the recording', async () => {
    const config = await alice.sshConfig();
    await using terminal = new Terminal();
    const from = new Date().toISOString();
    await terminal.open(
      `ssh -F ${config} deploy@web-1; echo ended-with-$?; sleep 60`,
      { columns: 80, rows: 24 },
      { GATE_HOME: alice.gateHome, TERM: 'xterm' },
    );
    await terminal.waitFor('$');
    await terminal.type("PS1='ready> '; unset PROMPT_COMMAND; export TERM=xterm");
    await terminal.waitFor(/^ready> ?$/m);
    await terminal.type('stty size');
    await terminal.waitFor('24 80');
    await terminal.tmux('resize-window', '-x', '100', '-y', '30');
    await eventually('the new size', async () => {
      await terminal.type('stty size');
      return (await terminal.screen()).includes('30 100');
    });
    await terminal.type('rm -f note; vi -u NONE note');
    await terminal.waitFor(/^~$/m);
    await terminal.key('i');
    await terminal.type('written through gatehouse');
    await terminal.key('Escape');
    await terminal.type(':wq');
    await terminal.waitFor(/^ready> ?$/m);
    await terminal.type('cat note');
    await terminal.waitFor(/^written through gatehouse$/m);
    await terminal.type('sleep 60');
    await new Promise((resolve) => setTimeout(resolve, 300));
    await terminal.key('C-c');
    await terminal.waitFor('^C');
    await terminal.type('echo interrupted-with-$?');
    await terminal.waitFor('interrupted-with-130');
    await terminal.type('clear; echo last-screen; seq 5');
    const lastScreen = /^last-screen\s*\n1\s*\n2\s*\n3\s*\n4\s*\n5\s*\nready>/m;
    await terminal.waitFor(lastScreen);
    const screen = trimScreen(await terminal.screen());
    await terminal.key('C-d');
    await terminal.waitFor('ended-with-0');

    const completed = await waitForEvent(world.ada, {
      type: 'recording.completed',
      user: 'alice',
      from,
    });
    const started = await waitForEvent(world.ada, {
      type: 'ssh.command_started',
      user: 'alice',
      from,
    });
    expect(started.data).toMatchObject({ pty: true });
    const played = await alice.gate([
      'recordings',
      'export',
      String(completed.data['recordingId']),
      '--as',
      'asciicast',
    ]);
    const frames = played.stdout
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => JSON.parse(line) as [number, string, string]);
    expect(frames.some(([, kind, data]) => kind === 'r' && data === '100x30')).toBe(true);
    expect(frames.map(([, , data]) => data).join('')).toContain('written through gatehouse');
    await using player = new Terminal();
    await player.open(
      `${join(import.meta.dirname, '../../bin/gate')} recordings play ${String(completed.data['recordingId'])}; sleep 60`,
      { columns: 100, rows: 30 },
      { GATE_HOME: alice.gateHome, GATE_PROXY: world.home.ready.proxyAddr },
    );
    const replayed = await player.waitFor(lastScreen);
    const withoutEnd = trimScreen(replayed).replace(/\n?ready> (exit|logout)?$/, '');
    expect(withoutEnd).toContain(screen.replace(/\n?ready> ?$/, ''));
  });

  it('sees CRLF and a recording with a terminal only (SSH-02)', async () => {
    const from = new Date().toISOString();
    const without = await alice.ssh(['deploy@web-1', 'echo plain']);
    expect(without.stdout).toBe('plain\n');
    const withTerminal = await alice.ssh(['-tt', 'deploy@web-1', 'echo fancy']);
    expect(withTerminal.stdout).toBe('fancy\r\n');
    await waitForEvent(world.ada, { type: 'recording.completed', user: 'alice', from });
    const recordings = await alice.json<{ startedAt: string }[]>(['recordings', 'ls']);
    expect(recordings.filter(({ startedAt }) => startedAt >= from)).toHaveLength(1);
  });
});
