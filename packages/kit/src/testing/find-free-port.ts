import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * Below the ports that systems give to connections by themselves (Linux: 32768 and up; RFC 6335 §6: 49152 and up), and
 * below those among which `npm start -- --port 0` chooses.
 */
const range = { first: 12_000, last: 20_000 };
const given = new Set<number>();

/**
 * A loopback port on which nothing listens, for a server that wants a number before it starts. No connection can take it
 * meanwhile, and it is not given twice by this process.
 */
export async function findFreePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const port = range.first + Math.floor(Math.random() * (range.last - range.first));
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
  throw new Error('no free port');
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    await once(server.listen(port, '127.0.0.1'), 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}
