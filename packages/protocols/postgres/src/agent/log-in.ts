/** Logs in by `pg`, then takes its connection over. */
import { EventEmitter } from 'node:events';
import { readFileSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { checkServerIdentity, type ConnectionOptions } from 'node:tls';

import { readEnvironment, readSecretFile } from '@gatehouse/kit/config';
import { GatehouseError } from '@gatehouse/kit/errors';
import { connectFailureOf, splitAddress, watchPeer } from '@gatehouse/kit/net';
import { hostError, type AgentDial, type AgentServices } from '@gatehouse/protocol-api';
import { Client, DatabaseError, type Connection } from 'pg';

import type { PostgresSpec } from '../target.js';
import { encodeCancelRequest, encodeStartupMessage } from '../wire/startup.js';
import { Greeting, protocolBroken } from './greeting.js';
import { loginFailed } from './login-failed.js';

type Dial = AgentDial<PostgresSpec>;
type Services = Pick<AgentServices, 'databaseCertificate'>;

/** A backend looks this often whether its client is still there, and is not left behind by an agent that is lost. */
const watchClient = { client_connection_check_interval: '5s' };
/** What servers before 14, and those on systems where they can not look, say to it (undefined_object, invalid_parameter_value). */
const watchRefused: ReadonlySet<string | undefined> = new Set(['42704', '22023']);

/**
 * A connection that is logged in as `dial.principal`; it begins with what the server said behind AuthenticationOk.
 * @throws TARGET_UNREACHABLE, POSTGRES_LOGIN_FAILED
 */
export async function logIn(
  services: Services,
  dial: Dial,
  parameters: Readonly<Record<string, string>>,
): Promise<Duplex> {
  try {
    return await tryLogIn(services, dial, { ...watchClient, ...parameters });
  } catch (thrown) {
    if (!(thrown instanceof DatabaseError) || !watchRefused.has(thrown.code))
      throw explain(dial, thrown);
  }
  return tryLogIn(services, dial, parameters).catch((thrown: unknown) => {
    throw explain(dial, thrown);
  });
}

async function tryLogIn(
  services: Services,
  dial: Dial,
  parameters: Readonly<Record<string, string>>,
): Promise<Duplex> {
  const user = Buffer.from(dial.principal).toString('latin1');
  const startup = encodeStartupMessage(
    0,
    Object.entries({ user, ...parameters }).map(([name, value]) => ({ name, value })),
  );
  const greeting = new Greeting();
  const client = createClient(dial, {
    startup,
    tls: await tlsOptions(services, dial),
    listen: (stream, tell) => greeting.listen(stream, tell),
  });
  try {
    await connectClient(dial, client);
    const { stream } = client.connection;
    stream.unshift(greeting.said);
    return stream;
  } catch (thrown) {
    client.connection.stream.destroy();
    throw thrown;
  }
}

/** Asks the server to end what one of its backends does (PostgreSQL §55.2.10); it never says whether it did. */
export async function cancelStatement(
  services: Services,
  dial: Dial,
  key: { readonly processId: number; readonly secretKey: number },
): Promise<void> {
  const secret = Buffer.alloc(4);
  secret.writeInt32BE(key.secretKey);
  const client = createClient(dial, {
    startup: encodeCancelRequest({ processId: key.processId, secret }),
    tls: await tlsOptions(services, dial),
    listen: (stream) =>
      void stream.once('data', () => stream.destroy(protocolBroken('it answers a cancel request'))),
  });
  try {
    await connectClient(dial, client);
  } catch (thrown) {
    // The server closes without a word.
    if (!client.connection.stream.readableEnded) throw explain(dial, thrown);
  } finally {
    client.connection.stream.destroy();
  }
}

/** What `pg` has and its types do not tell: the connection below, of which the startup message and the reading are ours. */
type OpenClient = Client & {
  readonly connection: Connection & {
    readonly stream: Duplex;
    startup(): void;
    /** Parses, in the midst of `emit`, what is told as `data`. */
    attachListeners(source: EventEmitter): void;
  };
};

interface ClientOptions {
  readonly startup: Buffer;
  readonly tls: ConnectionOptions | false;
  /** Reads `stream` in place of `pg`, which hears only what it is told. */
  readonly listen: (stream: Duplex, tell: (message: Buffer) => void) => void;
}

function createClient(dial: Dial, { startup, tls, listen }: ClientOptions): OpenClient {
  const { host, port } = splitAddress(dial.spec.address);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a part of `pg` that its types leave out
  const client = new Client({
    host,
    port,
    user: dial.principal,
    password: () => readPassword(dial),
    ssl: tls,
    keepAlive: watchPeer.keepAlive,
    keepAliveInitialDelayMillis: watchPeer.keepAliveInitialDelay,
  }) as OpenClient;
  // It learns of its connection's end when nobody waits for it any more.
  client.on('error', () => undefined);
  client.connection.startup = () => void client.connection.stream.write(startup);
  const heard = new EventEmitter();
  client.connection.attachListeners(heard);
  client.connection.attachListeners = () =>
    listen(client.connection.stream, (message) => heard.emit('data', message));
  // Before `pg` hears it, and gives the password away to whoever asks for it so.
  if (tls === false)
    client.connection.on('authenticationCleartextPassword', () =>
      client.connection.stream.destroy(
        loginFailed('the database asks for a password in clear, and there is no TLS'),
      ),
    );
  return client;
}

async function tlsOptions(
  services: Services,
  { spec: { tls, address, auth }, target, principal }: Dial,
): Promise<ConnectionOptions | false> {
  if (tls === 'off') return false;
  const name = tls.server_name ?? splitAddress(address).host;
  const own =
    auth !== undefined && 'certificate' in auth
      ? await services.databaseCertificate(target, principal)
      : undefined;
  return {
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
    checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate),
    ...(tls.ca_file === undefined ? {} : { ca: readFileSync(tls.ca_file, 'utf8') }),
    ...(own === undefined ? {} : { key: own.privateKeyPem, cert: own.certificatePem }),
  };
}

function readPassword({ spec, principal }: Dial): string {
  const stored = spec.auth !== undefined && 'password' in spec.auth ? spec.auth.password : [];
  const fitting = (Array.isArray(stored) ? stored : [stored]).find(
    ({ user }) => user === principal,
  );
  const why = `its agent has no credentials for the database user "${principal}"`;
  if (fitting === undefined) throw loginFailed(why);
  const { password_file: file, password_env: variable = '' } = fitting;
  try {
    const password =
      file === undefined ? readEnvironment()[variable] : readSecretFile(file).reveal();
    if (password !== undefined && password !== '') return password;
  } catch (cause) {
    throw loginFailed('its agent can not read the stored credentials', cause);
  }
  throw loginFailed('its agent has no stored credentials');
}

async function connectClient(dial: Dial, client: OpenClient): Promise<void> {
  const onAbort = () => client.connection.stream.destroy(abortedError());
  if (dial.signal.aborted) throw abortedError();
  dial.signal.addEventListener('abort', onAbort, { once: true });
  try {
    await client.connect();
  } finally {
    dial.signal.removeEventListener('abort', onAbort);
  }
}

function abortedError(): Error {
  return Object.assign(new Error('timed out'), { code: 'ETIMEDOUT' });
}

/** How much is told on of what others say. */
const maxWordsChars = 500;
/** Classes of SQLSTATE (PostgreSQL §A): the server did not take whom the agent said it was. */
const refusedCredentials = /^28/;

function explain({ target }: Dial, thrown: unknown): GatehouseError {
  if (thrown instanceof GatehouseError) return thrown;
  if (thrown instanceof DatabaseError) {
    const why = refusedCredentials.test(thrown.code ?? '')
      ? 'the database refused the stored credentials'
      : thrown.message.slice(0, maxWordsChars);
    return loginFailed(why, thrown);
  }
  const known = connectFailureOf(thrown);
  if (known === undefined) return loginFailed(describeFailure(thrown), thrown);
  const { reason, why } = known;
  return hostError('TARGET_UNREACHABLE', { cause: thrown, reason, details: { target, why } });
}

/** What is left is said by TLS or by `pg`, about the server and never about a secret. */
function describeFailure(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message : '';
  return `no connection to the database: ${text.slice(0, maxWordsChars)}`;
}
