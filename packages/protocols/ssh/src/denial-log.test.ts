import type { SessionEvent } from '@gatehouse/protocol-api';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { createDenialLog } from './denial-log.js';

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

function start() {
  const events: SessionEvent[] = [];
  const clock = { now: () => Date.now(), monotonic: () => Date.now() };
  const log = createDenialLog(clock, (event) => events.push(event));
  const deny = (type: string, times: number) => {
    for (let n = 0; n < times; n += 1) log.write({ type, outcome: 'denied', data: {} });
  };
  return { events, log, deny };
}

describe('denials', () => {
  it('of one kind are counted in a flood, and never silence another kind', () => {
    const { events, log, deny } = start();
    deny('ssh.request_denied', 300);
    deny('ssh.file_denied', 1);
    log[Symbol.dispose]();
    const counted = events.at(-1);
    expect(events.filter(({ type }) => type === 'ssh.file_denied')).toHaveLength(1);
    expect(counted).toMatchObject({
      type: 'audit.events_counted',
      outcome: 'denied',
      data: { type: 'ssh.request_denied' },
    });
    const written = events.filter(({ type }) => type === 'ssh.request_denied').length;
    expect(written + Number(counted?.data['count'])).toBe(300);
  });

  it('are counted for a time only, then written again', () => {
    const { events, log, deny } = start();
    deny('ssh.request_denied', 300);
    vi.advanceTimersByTime(80_000);
    deny('ssh.request_denied', 1);
    expect(events.slice(-2).map(({ type }) => type)).toEqual([
      'audit.events_counted',
      'ssh.request_denied',
    ]);
    log[Symbol.dispose]();
    expect(vi.getTimerCount()).toBe(0);
  });
});
