import { describe, expect, it } from 'vitest';

import { sshSpec } from './target.js';

const key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2k8yvQ3fC2g6l0m1pWJxH5xT6v2m7nJ9o4r8s0t2u1';

describe('the spec of a node', () => {
  it.each([
    { address: '127.0.0.1:22' },
    { address: '[::1]:22', host_key: key },
    { address: '[::1]:22', host_ca: `${key} old\n${key} new\n` },
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
    // A control sequence of one character, which would reach an administrator's terminal.
    { address: 'a\u009b31m:1' },
    { address: 'a:1', host_key: 'ssh-ed25519 garbage' },
    { address: 'a:1', host_ca: '' },
  ])('refuses %j', (spec) => {
    expect(sshSpec.safeParse(spec).success).toBe(false);
  });
});
