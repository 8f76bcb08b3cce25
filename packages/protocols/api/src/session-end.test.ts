import { expect, it } from 'vitest';

import { hostError } from './errors.js';
import { isSessionEnd } from './session-end.js';

it('takes the host’s word for an end, and no error for one', () => {
  expect(isSessionEnd({ reason: 'lock', message: 'locked: incident 7' })).toBe(true);
  expect(isSessionEnd(hostError('AUDIT_UNAVAILABLE', { reason: 'audit_unavailable' }))).toBe(false);
  expect(isSessionEnd(new DOMException('This operation was aborted', 'AbortError'))).toBe(false);
  expect(isSessionEnd(undefined)).toBe(false);
});
