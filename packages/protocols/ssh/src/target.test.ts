import { describe, expect, it } from 'vitest';

import { sshSpec } from './target.js';

describe('the spec of a node', () => {
  it.each([
    { address: '127.0.0.1:22' },
    { address: '[::1]:22', host_key: 'ssh-ed25519 AAAA' },
    { address: 'web-1.internal:2222', allow_legacy_algorithms: true },
    { builtin: true },
  ])('takes %j', (spec) => {
    expect(sshSpec.safeParse(spec).success).toBe(true);
  });

  it.each([
    {},
    { address: 'web-1' },
    { address: 'a:1', builtin: true },
    { address: 'a:1', port: 3 },
    { address: '/run/x:1' },
  ])('refuses %j', (spec) => {
    expect(sshSpec.safeParse(spec).success).toBe(false);
  });
});
