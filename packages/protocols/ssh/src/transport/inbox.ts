/** Messages for whoever asks for one after the other. */

import { sshError } from '../errors.js';

/** More than so many waiting, and `isFull` asks to read no more. */
const maxWaiting = 64;

/** One read may hold many small ones, and reading stops only after it; more than so many end the connection. */
const mostWaiting = 1024;

export class Inbox {
  private waiting: Buffer[] = [];
  private wake: (() => void) | undefined;

  get isFull(): boolean {
    return this.waiting.length >= maxWaiting;
  }

  /** @throws SSH_PROTOCOL where more wait than anybody says before it is answered */
  push(message: Buffer): void {
    if (this.waiting.length === mostWaiting)
      throw sshError('SSH_PROTOCOL', { details: { why: 'too many messages at once' } });
    this.waiting.push(message);
    this.wake?.();
  }

  /** All that wait, which then wait no more. */
  drain(): Buffer[] {
    const all = this.waiting;
    this.waiting = [];
    return all;
  }

  take(): Buffer | undefined {
    return this.waiting.shift();
  }

  /** Resolves when there is a message, or `ended` has resolved. @throws the signal's reason */
  async wait(ended: Promise<unknown>, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.waiting.length > 0) return;
    const woken = new Promise<void>((resolve) => (this.wake = resolve));
    const abort = () => this.wake?.();
    signal?.addEventListener('abort', abort, { once: true });
    await Promise.race([woken, ended]);
    signal?.removeEventListener('abort', abort);
    this.wake = undefined;
    signal?.throwIfAborted();
  }
}
