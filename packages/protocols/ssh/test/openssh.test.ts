import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { run, ssh, sshOptions, startWithSshd, type Harness } from './harness.js';

let harness: Harness;
let stop: () => Promise<void>;

beforeAll(async () => {
  const started = await startWithSshd();
  harness = started.harness;
  stop = async () => {
    await harness.close();
    await started.sshd[Symbol.asyncDispose]();
  };
});

afterAll(async () => {
  await stop();
});

describe('a command through the proxy', () => {
  it('keeps stdout, stderr and the exit code apart', async () => {
    const result = await ssh(harness, 'root@web-1', ['printf out; printf err >&2; exit 3']);
    expect(result).toMatchObject({ code: 3, stderr: 'err' });
    expect(result.stdout.toString()).toBe('out');
    const ended = await harness.waitForEvent('ssh.command_ended');
    expect(ended.at(-1)?.data).toMatchObject({ exit_code: 3, bytesOut: 6 });
  });
});
