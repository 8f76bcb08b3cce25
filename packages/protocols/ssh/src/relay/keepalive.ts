/** Finds peers that have gone without a word, by asking silent ones for a reply. */
import type { SshTransport } from '../transport/transport.js';
import { encodeMessage } from '../wire/codec.js';
import { messageType } from '../wire/message-types.js';
import type { ReplyQueue } from './reply-queue.js';

/** How often a silent peer is asked, ms. */
const intervalMs = 30_000;
/** Unanswered questions before it is given up. */
const maxMissed = 3;

/**
 * Watches one leg until it ends.
 * @param requests the queue of global requests that this peer answers
 */
export function keepAlive(transport: SshTransport, requests: ReplyQueue): void {
  let seen = transport.chunksReceived;
  let missed = 0;
  const timer = setInterval(() => {
    if (transport.endedWith !== undefined) {
      clearInterval(timer);
      return;
    }
    missed = transport.chunksReceived === seen && !transport.isPaused ? missed + 1 : 0;
    seen = transport.chunksReceived;
    if (missed === 0) return;
    if (missed > maxMissed) {
      transport.drop('no answer to keepalives');
      return;
    }
    try {
      requests.expectOurs();
    } catch {
      transport.drop('no answer to very many requests');
      return;
    }
    transport.send(encodeMessage(messageType.globalRequest, 'keepalive@openssh.com', true));
  }, intervalMs);
  timer.unref();
}
