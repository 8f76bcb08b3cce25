/** Shows who still looks at a chunk of `onSharedChunks` after returning. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

import { canShareReads, onSharedChunks } from '../net/shared-reads.js';

/** Overwrites the buffer of shared reads at every turn of the event loop, until disposed of. */
export async function spoilSharedReads(): Promise<Disposable> {
  const buffer = await findBuffer();
  let isDone = false;
  const spoil = () => {
    buffer.fill(0xdb);
    if (!isDone) setImmediate(spoil);
  };
  spoil();
  return { [Symbol.dispose]: () => void (isDone = true) };
}

async function findBuffer(): Promise<Buffer> {
  const server = createServer((socket) => socket.end('x'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not listening on TCP');
  const socket = connect(address.port, '127.0.0.1');
  await once(socket, 'connect');
  const chunk = await new Promise<Buffer>((resolve) => {
    onSharedChunks(socket, resolve);
  });
  const isShared = canShareReads(socket);
  socket.destroy();
  server.close();
  if (!isShared) throw new Error('this Node shares no reads: nothing would be spoiled');
  return Buffer.from(chunk.buffer);
}
