import { describe, expect, it } from 'vitest';

import { formatEventLine, parseEvent } from './format-event.js';

const line = (fields: object) =>
  formatEventLine(
    parseEvent(
      JSON.stringify({
        type: 'ssh.command_started',
        time: '2026-11-26T12:00:01.000Z',
        outcome: 'success',
        actor: { kind: 'user', name: 'alice' },
        target: { kind: 'node', name: 'web-1' },
        ...fields,
      }),
    ).event,
  );

describe('formatEventLine', () => {
  it('says who did what where', () => {
    expect(line({ data: { kind: 'exec', command: 'uname -a', pty: false } })).toBe(
      '2026-11-26 12:00:01  ssh.command_started     alice → web-1         exec uname -a',
    );
  });

  it('says an exit code, also zero', () => {
    expect(line({ type: 'ssh.command_ended', data: { exit_code: 0 } })).toMatch(/ {2}exit 0$/);
  });

  it('says why something was refused, before what it was about', () => {
    const denied = { outcome: 'denied', reason: 'no_role', data: { principal: 'root' } };
    expect(line({ type: 'session.denied', ...denied })).toMatch(/ {2}denied: no_role, as root$/);
  });

  it('cuts long texts, shows no control characters, and does without data', () => {
    expect(line({ data: { command: 'x'.repeat(100) } })).toMatch(/ {2}x{59}…$/);
    const hostile = line({ data: { command: '\u001b[31mred' } });
    expect(hostile).not.toContain('\u001b');
    expect(line({ data: null })).toMatch(/alice → web-1$/);
  });
});
