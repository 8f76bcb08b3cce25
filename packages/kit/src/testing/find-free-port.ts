import { once } from 'node:events';
import { createServer } from 'node:net';

/** A loopback port that nobody has just now. */
export async function findFreePort(): Promise<number> {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('not listening on TCP');
  return address.port;
}
