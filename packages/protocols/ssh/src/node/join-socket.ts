import type { Duplex } from 'node:stream';

import type { ChannelStream } from '../connection/channel-stream.js';

/** How long a socket may take to write what is left when its channel has closed, ms. */
const flushMs = 10_000;

/** Both directions, each ended on its own; the channel closes when both have ended. */
export function joinSocket(stream: ChannelStream, socket: Duplex): void {
  let open = 2;
  const half = () => {
    open -= 1;
    if (open === 0) stream.close();
  };
  socket.on('error', () => {
    stream.close();
    socket.destroy();
  });
  // The last bytes of the peer still go out; a socket that takes none is given up.
  stream.once('close', () => {
    const patience = setTimeout(() => socket.destroy(), flushMs);
    socket.once('close', () => {
      clearTimeout(patience);
    });
    socket.end(() => socket.destroy());
  });
  stream.once('end', half);
  socket.once('end', half);
  stream.pipe(socket);
  socket.pipe(stream);
}
