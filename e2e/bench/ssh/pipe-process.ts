/** Says its port on stdout, reads the target's from stdin, ends with it; joins each connection with one to the target. */
import { connect, createServer, type AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';

let target = 0;
const server = createServer({ noDelay: true }, (client) => {
  const upstream = connect({ host: '127.0.0.1', port: target, noDelay: true });
  client.on('error', () => upstream.destroy());
  upstream.on('error', () => client.destroy());
  client.pipe(upstream).pipe(client);
});
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`${port}\n`);
});
const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  target = Number(line);
});
lines.on('close', () => process.exit(0));
