/**
 * OpenSSH's server sends the exit code as soon as the program has ended, also where output still waits for window. People
 * want all output first, then the code, EOF and CLOSE; so the code is kept back until EOF or CLOSE comes, or until nothing
 * has come for a while although there was window (a program in the background may hold the output open for ever).
 * Where its EOF overtakes the code, the EOF waits a moment for it.
 */
import type { RelayChannel } from './channel.js';
import type { Relay } from './relay.js';

/** Silence after which the code goes out alone, ms. */
const quietMs = 1000;

export function holdExit(relay: Relay, channel: RelayChannel, message: Buffer): void {
  channel.heldExit = Buffer.from(message);
  let seen = channel.bytesOut;
  const timer = setInterval(() => {
    const isQuiet = channel.bytesOut === seen && channel.userCredit > 0;
    seen = channel.bytesOut;
    if (isQuiet) releaseExit(relay, channel);
  }, quietMs);
  timer.unref();
  channel.stopExitTimer = () => {
    clearInterval(timer);
  };
}

/** How long an EOF waits for the exit code, ms: a program may close its output and live on. */
const eofWaitMs = 300;

export function holdEof(relay: Relay, channel: RelayChannel, message: Buffer): void {
  channel.heldEof = Buffer.from(message);
  channel.eofTimer = setTimeout(() => releaseEof(relay, channel), eofWaitMs);
  channel.eofTimer.unref();
}

/** Sends the EOF that is kept back, if there is one. */
export function releaseEof(relay: Relay, channel: RelayChannel): void {
  clearTimeout(channel.eofTimer);
  if (channel.heldEof !== undefined) relay.user.send(channel.heldEof);
  channel.heldEof = undefined;
}

/** Sends the code that is kept back, if there is one. */
export function releaseExit(relay: Relay, channel: RelayChannel): void {
  channel.stopExitTimer?.();
  channel.stopExitTimer = undefined;
  if (channel.heldExit !== undefined) relay.user.send(channel.heldExit);
  channel.heldExit = undefined;
}
