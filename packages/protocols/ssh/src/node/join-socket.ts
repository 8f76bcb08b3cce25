import type { Duplex } from 'node:stream';

import type { ChannelStream } from '../connection/channel-stream.js';

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
  stream.once('close', () => socket.destroy());
  stream.once('end', half);
  socket.once('end', half);
  stream.pipe(socket);
  socket.pipe(stream);
}
