/** The first session at home, as the README tells it. */
import { hostname } from 'node:os';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { searchEvents, sessionEvents, waitForEvent } from '../stack/events.js';
import { startHome, type Home } from '../stack/home.js';
import { createAdmin, type Person } from '../stack/person.js';
import { run } from '../stack/run.js';

const node = (hostname().split('.')[0] ?? '').toLowerCase();
const login = process.env['USER'] ?? 'root';

describe('the first session at home', () => {
  let home: Home;
  let ada: Person;
  beforeAll(async () => {
    home = await startHome();
    ada = await createAdmin(home);
  });
  afterAll(async () => home[Symbol.asyncDispose]());

  it('gives the first administrator the roles admin and access, and the OS user as login', async () => {
    const status = await ada.json<{ roles: string[]; logins: string[]; mfaVerified: boolean }>([
      'status',
    ]);
    expect(status.roles.toSorted()).toEqual(['access', 'admin']);
    expect(status.logins).toContain(login);
    expect(status.mfaVerified).toBe(true);
  });

  it('lists this host as online', async () => {
    const targets = await ada.json<
      { kind: string; name: string; status: string; principals: string[] }[]
    >(['ls']);
    expect(targets).toEqual([
      expect.objectContaining({ kind: 'node', name: node, status: 'online', principals: [login] }),
    ]);
  });

  it('runs a command on this host through gate ssh, and audits it without a gap', async () => {
    const from = new Date().toISOString();
    const result = await ada.gate(['ssh', `${login}@${node}`, '--', 'uname', '-a']);
    expect(result.stderr).toBe('');
    expect(result.code).toBe(0);
    expect(result.stdout).toBe((await run('uname', ['-a'])).stdout);
    const ended = await waitForEvent(ada, { type: 'session.ended', user: 'ada', from });
    const events = await sessionEvents(ada, ended.sessionId ?? '');
    expect(events.map(({ type }) => type)).toEqual([
      'session.started',
      'ssh.command_started',
      'ssh.command_ended',
      'session.ended',
    ]);
    expect(events.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4]);
    expect(events[0]?.data['tunnel']).toMatch(/^srv_/);
    expect(events[1]?.data['command']).toBe('uname -a');
    expect(events[2]?.data['exit_code']).toBe(0);
    expect(await searchEvents(ada, { type: 'login.succeeded', user: 'ada' })).toHaveLength(1);
  });

  it('records an interactive session and plays it back', async () => {
    const from = new Date().toISOString();
    const result = await ada.ssh(['-tt', `${login}@${node}`, 'echo marker-$((40+2)); exit 5']);
    expect(result.code).toBe(5);
    expect(result.stdout).toContain('marker-42');
    await waitForEvent(ada, { type: 'recording.completed', user: 'ada', from });
    const recordings = await ada.json<{ id: string; complete: boolean; user: string }[]>([
      'recordings',
      'ls',
    ]);
    const newest = recordings[0];
    expect(newest).toMatchObject({ complete: true, user: 'ada' });
    const text = await ada.gate(['recordings', 'export', newest?.id ?? '', '--as', 'text']);
    expect(text.stdout).toContain('marker-42');
    const cast = await ada.gate(['recordings', 'export', newest?.id ?? '', '--as', 'asciicast']);
    expect(JSON.parse(cast.stdout.split('\n')[0] ?? '')).toMatchObject({ version: 2 });
  });
});
