import { expect, it } from 'vitest';

import { hostError } from './errors.js';
import { isSessionEnd, sessionEndOf } from './session-end.js';

it('takes the host’s word for an end, and no error for one', () => {
  expect(isSessionEnd({ reason: 'lock', message: 'locked: incident 7' })).toBe(true);
  expect(isSessionEnd(hostError('AUDIT_UNAVAILABLE', { reason: 'audit_unavailable' }))).toBe(false);
  expect(isSessionEnd(new DOMException('This operation was aborted', 'AbortError'))).toBe(false);
  expect(isSessionEnd(undefined)).toBe(false);
});

it('is that which cuts, else that which asked first', () => {
  const [signal, cut] = [new AbortController(), new AbortController()];
  const session = { signal: signal.signal, cut: cut.signal };
  expect(sessionEndOf(session)).toBeUndefined();
  signal.abort({ reason: 'policy', message: 'access changed' });
  expect(sessionEndOf(session)?.reason).toBe('policy');
  cut.abort({ reason: 'lock', message: 'locked' });
  expect(sessionEndOf(session)?.reason).toBe('lock');
});
