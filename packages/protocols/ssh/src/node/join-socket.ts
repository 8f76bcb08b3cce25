import type { Duplex } from 'node:stream';

import type { ChannelStream } from '../connection/channel-stream.js';

/** How long a socket may take to write what is left when its channel has closed, ms. */
const flushMs = 10_000;

/** Both directions, each ended on its own; the channel closes when both have ended. Either may be gone already. */
export function joinSocket(stream: ChannelStream, socket: Duplex): void {
  socket.on('error', () => socket.destroy());
  if (stream.isClosed) {
    socket.destroy();
    return;
  }
  if (socket.destroyed) {
    stream.close();
    return;
  }
  let open = 2;
  const half = () => {
    open -= 1;
    if (open === 0) stream.close();
  };
  // `finish`, not the end of the socket: its last bytes may still wait for the window of the channel.
  stream.once('end', half);
  stream.once('finish', half);
  socket.once('close', () => {
    if (socket.readableEnded && !stream.writableFinished)
      stream.once('finish', () => stream.close());
    else stream.close();
  });
  // The last bytes of the peer still go out; a socket that takes none is given up.
  stream.once('close', () => {
    const patience = setTimeout(() => socket.destroy(), flushMs);
    socket.once('close', () => {
      clearTimeout(patience);
    });
    socket.end(() => socket.destroy());
  });
  stream.pipe(socket);
  socket.pipe(stream);
}
