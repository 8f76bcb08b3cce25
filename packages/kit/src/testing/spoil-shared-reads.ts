/** Shows who still looks at a chunk of `onSharedChunks` after returning. */
import { canShareReads, onSharedChunks } from '../net/shared-reads.js';
import { connectTcpPair } from './connect-tcp-pair.js';

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
  const { accepted, connecting } = await connectTcpPair();
  const chunk = await new Promise<Buffer>((resolve) => {
    onSharedChunks(connecting, resolve);
    accepted.write('x');
  });
  const isShared = canShareReads(connecting);
  for (const socket of [accepted, connecting]) socket.destroy();
  if (!isShared) throw new Error('this Node shares no reads: nothing would be spoiled');
  return Buffer.from(chunk.buffer);
}
