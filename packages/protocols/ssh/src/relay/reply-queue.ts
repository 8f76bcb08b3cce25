/** Replies to SSH requests carry no id: they are matched by order alone (RFC 4254 §4, §5.4). */
import { sshError } from '../errors.js';

/** More unanswered requests than this end the connection. */
const maxWaiting = 1024;

type Entry =
  /** Relayed: the other side's reply is passed on (after `onReply` has seen it). */
  | { readonly kind: 'relayed'; readonly onReply: ((reply: Buffer) => void) | undefined }
  /** Asked by us: the reply ends here. */
  | { readonly kind: 'ours' }
  /** Answered by us, waiting for its turn. */
  | { readonly kind: 'answer'; readonly send: () => void };

/** The open requests of one side, in order, on one channel or for global requests. */
export class ReplyQueue {
  private readonly entries: Entry[] = [];

  constructor(private readonly pass: (reply: Buffer) => void) {}

  /** A request was relayed; its reply comes from the other side. */
  expectRelayed(onReply?: (reply: Buffer) => void): void {
    this.push({ kind: 'relayed', onReply });
  }

  /** A request of our own was sent to the other side. */
  expectOurs(): void {
    this.push({ kind: 'ours' });
  }

  /** Answers a request that was not relayed, once all before it are answered. */
  answer(send: () => void): void {
    this.push({ kind: 'answer', send });
    this.flush();
  }

  /** The other side replied. False when nothing was asked. */
  onReply(reply: Buffer): boolean {
    const entry = this.entries.shift();
    if (entry === undefined || entry.kind === 'answer') return false;
    if (entry.kind === 'relayed') {
      entry.onReply?.(reply);
      this.pass(reply);
    }
    this.flush();
    return true;
  }

  /** The other side will reply no more: gives our own answers that still wait. */
  close(): void {
    for (const entry of this.entries.splice(0)) if (entry.kind === 'answer') entry.send();
  }

  private push(entry: Entry): void {
    if (this.entries.length >= maxWaiting) {
      throw sshError('SSH_PROTOCOL', {
        details: { why: 'too many unanswered requests' },
        reason: 'protocol',
      });
    }
    this.entries.push(entry);
  }

  private flush(): void {
    while (this.entries[0]?.kind === 'answer') {
      const [entry] = this.entries.splice(0, 1);
      if (entry?.kind === 'answer') entry.send();
    }
  }
}
