import type { SshTransport } from '../transport/transport.js';

/** Reading from one side, which several causes may stop at once: it goes on when none is left. */
export class Valve {
  private readonly causes = new Set<string>();

  constructor(private readonly transport: SshTransport) {}

  close(cause: string): void {
    this.causes.add(cause);
    this.transport.pause();
  }

  open(cause: string): void {
    if (this.causes.delete(cause) && this.causes.size === 0) this.transport.resume();
  }

  isClosed(cause: string): boolean {
    return this.causes.has(cause);
  }
}
