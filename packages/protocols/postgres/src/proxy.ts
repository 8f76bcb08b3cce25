/**
 * The PostgreSQL facet of the proxy (D19, D35).
 *
 *   open    encryption is agreed on, the startup message says who and where; nothing is answered yet
 *   serve   dial: the agent logs in; then AuthenticationOk and the relay (relay/relay.ts)
 *   refuse  an ErrorResponse, FATAL
 *
 * A request to cancel is served in `open`: its key says which session of which replica is meant.
 */
import { Buffer } from 'node:buffer';
import type { Duplex } from 'node:stream';

import { runInBackground } from '@gatehouse/kit/lifecycle';
import {
  served,
  sessionEndOf,
  type EndReason,
  type Offer,
  type Opening,
  type ProxyProtocol,
  type ProxyServices,
  type Session,
} from '@gatehouse/protocol-api';

import { CancelKeys } from './cancel/cancel-keys.js';
import { encodeRefusal, postgresError, sqlstates } from './errors.js';
import { hasStatementPolicy } from './policy/judge.js';
import { createStatementParser } from './policy/parse.js';
import { Relay } from './relay/relay.js';
import { readDestination, type Destination } from './startup/destination.js';
import { readBeginning } from './startup/read-startup.js';
import type { PostgresSpec } from './target.js';
import type { BackendKey } from './wire/backend.js';
import {
  encodeAuthenticationOk,
  encodeErrorResponse,
  encodeNegotiateProtocolVersion,
} from './wire/encode.js';
import { protocolExtensions, type StartupParameter } from './wire/startup.js';

/** ALPN name of databases inside client-certificate TLS (D18). */
const databaseAlpn = 'gatehouse-db';

/** How long a statement may go on after an end that is not urgent. */
const patienceMs = 60_000;

/** What `open` keeps for `serve` and `refuse`. */
export interface PostgresState {
  readonly client: Duplex;
  readonly minor: number;
  readonly parameters: readonly StartupParameter[];
  readonly destination: Destination;
}

type PostgresSession = Session<PostgresSpec>;

export function createProxy(services: ProxyServices): ProxyProtocol<PostgresSpec, PostgresState> {
  const keys = new CancelKeys(services);
  const parser = createStatementParser({
    onReplaced: (reason) => services.logger.warn({ reason }, 'the statement parser was replaced'),
  });
  return {
    name: 'postgres',
    scope: 'connection',
    mode: 'inspected',
    alpn: databaseAlpn,
    ownAlpn: 'postgresql',
    // The length of whatever comes first is less than 65,536.
    clearGreeting: '\0\0',
    patienceMs,
    open: (client, offer) => openConnection(keys, client, offer),
    serve: (session, opening) => serveSession({ session, opening, keys, parser }),
    async refuse(client, _opening, error) {
      if (client.writable) client.end(encodeRefusal(error));
    },
  };
}

async function openConnection(
  keys: CancelKeys,
  client: Duplex,
  offer: Offer,
): Promise<Opening<PostgresState> | typeof served> {
  const beginning = await readBeginning(client, offer);
  if (beginning.kind === 'cancel') {
    keys.use(beginning.key);
    return served;
  }
  const identity = offer.identify();
  const { parameters, minor } = beginning;
  const destination = readDestination({ identity, route: offer.route, parameters });
  const { target, user: principal, database } = destination;
  const state = { client: beginning.client, minor, parameters, destination };
  return { identity, target, principal, database, state };
}

interface Serving {
  readonly session: PostgresSession;
  readonly opening: Opening<PostgresState>;
  readonly keys: CancelKeys;
  readonly parser: ReturnType<typeof createStatementParser>;
}

async function serveSession(serving: Serving): Promise<EndReason> {
  const { session, opening } = serving;
  const { client, destination } = opening.state;
  refuseByRules(session, destination);
  try {
    const target = await session.dial({ parameters: destination.parameters });
    session.established();
    client.write(greet(opening.state));
    return await relay(serving, target);
  } catch (thrown) {
    const end = sessionEndOf(session);
    if (end === undefined) throw thrown;
    const { reason, message } = end;
    const sqlstate = sqlstates.ended;
    if (client.writable) client.end(encodeErrorResponse({ severity: 'FATAL', sqlstate, message }));
    return reason;
  }
}

/** What the rules say of how a session begins, before the database hears of it. */
function refuseByRules(session: PostgresSession, destination: Destination): void {
  const { identity, options, statements, target } = session;
  if (destination.isReplication && !options.dbReplication)
    throw postgresError('POSTGRES_REPLICATION_REFUSED', {
      reason: 'replication',
      details: { user: identity.user, target: target.name },
    });
  if (!hasStatementPolicy(statements)) return;
  const refused = destination.settings.find(({ name, value }) => changesReading(name, value));
  if (refused === undefined) return;
  throw postgresError('POSTGRES_SETTING_REFUSED', {
    reason: 'setting',
    details: { name: refused.name ?? 'what is no setting' },
  });
}

/** Statements are judged by their text: what makes a server read it otherwise may not be set. */
function changesReading(name = '', value = ''): boolean {
  if (name === 'client_encoding')
    return !/^(utf-?8|unicode|sql_ascii)$/i.test(value.replaceAll(/['"]/g, ''));
  return readingSettings.has(name);
}

const readingSettings: ReadonlySet<string> = new Set([
  'standard_conforming_strings',
  'backslash_quote',
  'search_path',
  // What they load may do anything, as LOAD could.
  'local_preload_libraries',
  'session_preload_libraries',
  'dynamic_library_path',
]);

/** What comes before the database's own first words. */
function greet({ minor, parameters }: PostgresState): Buffer {
  const extensions = protocolExtensions(parameters);
  const isOther = minor !== 0 || extensions.length > 0;
  return Buffer.concat([
    ...(isOther ? [encodeNegotiateProtocolVersion(0, extensions)] : []),
    encodeAuthenticationOk(),
  ]);
}

async function relay(serving: Serving, target: Duplex): Promise<EndReason> {
  const { session, opening, keys, parser } = serving;
  const { client, destination } = opening.state;
  await using stack = new AsyncDisposableStack();
  let isCancelling = false;
  const cancelOnce = async (own: BackendKey) => {
    if (isCancelling) return;
    isCancelling = true;
    await cancelUpstream(session, own).finally(() => (isCancelling = false));
  };
  const exchangeKey = (own: BackendKey) => {
    const cancel = () => runInBackground(() => cancelOnce(own), session.logger, 'not cancelled');
    return stack.use(keys.issue(cancel)).key;
  };
  const { database } = destination;
  return await new Relay({ session, client, target, database, parser, exchangeKey }).run();
}

/** The agent shows the database's own key, on a connection of its own. */
async function cancelUpstream(session: PostgresSession, key: BackendKey): Promise<void> {
  const secretKey = key.secret.readInt32BE(0);
  const stream = await session.dial({ cancel: { processId: key.processId, secretKey } });
  stream.destroy();
}
