import { expect, it, onTestFinished, vi } from 'vitest';

import type { SshTransport } from '../transport/transport.js';
import { keepAlive } from './keepalive.js';
import { ReplyQueue } from './reply-queue.js';

// Whoever stopped his own sshd and asked it 1,024 times ended the process, and everybody's session with it.
it('gives a peer up that owes very many answers, and throws nothing', () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const requests = new ReplyQueue(() => undefined);
  for (let asked = 0; asked < 1024; asked += 1) requests.expectRelayed();
  const drop = vi.fn<(why: string) => void>();
  const peer = { chunksReceived: 5, endedWith: undefined, isPaused: false, drop };
  keepAlive(peer as unknown as SshTransport, requests);
  vi.advanceTimersByTime(31_000);
  expect(drop).toHaveBeenCalledOnce();
});
