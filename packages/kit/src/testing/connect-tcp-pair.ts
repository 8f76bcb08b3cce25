import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** Both ends of a loopback connection, half-open allowed; nothing is read of the accepted one until it is resumed. */
export async function connectTcpPair(): Promise<{ accepted: Socket; connecting: Socket }> {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not listening on TCP');
  const accepting = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const connecting = connect(address.port, '127.0.0.1');
  await once(connecting, 'connect');
  const accepted = await accepting;
  server.close();
  return { accepted, connecting };
}
