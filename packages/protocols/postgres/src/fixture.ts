/** For the matrix: a real PostgreSQL, and the `pg` driver. */
import { startTestPostgres } from '@gatehouse/kit/testing';
import type {
  MatrixConnection,
  MatrixPerson,
  ProtocolFixture,
} from '@gatehouse/protocol-api/testing';
import { Client } from 'pg';

const name = 'postgres';

async function connect(person: MatrixPerson, target: string): Promise<MatrixConnection> {
  const { tls } = person;
  const client = new Client({
    host: '127.0.0.1',
    port: person.port,
    user: name,
    database: name,
    options: `-c gatehouse.target=${target}`,
    ssl: {
      rejectUnauthorized: false,
      ...(tls === undefined ? {} : { key: tls.key, cert: tls.certificate }),
    },
  });
  const { promise: ended, resolve: end } = Promise.withResolvers<string>();
  client.on('error', (error: Error) => end(error.message));
  client.on('end', () => end(''));
  await client.connect();
  return {
    ended,
    async say(text) {
      const { rows } = await client.query<{ said: string }>(`select '${text}' as said`);
      return rows[0]?.said ?? '';
    },
    async [Symbol.asyncDispose]() {
      await client.end();
    },
  };
}

export const fixture: ProtocolFixture = {
  kind: 'database',
  labelsField: 'db_labels',
  allow: { db_users: [name], db_names: [name] },
  isRecorded: true,
  hasWords: true,
  async startTarget() {
    const server = await startTestPostgres();
    let isUp = true;
    const stop = async () => {
      if (isUp) await server[Symbol.asyncDispose]();
      isUp = false;
    };
    return {
      spec: { protocol: 'postgres', address: server.address, tls: 'off' },
      stop,
      [Symbol.asyncDispose]: stop,
    };
  },
  connect,
};
