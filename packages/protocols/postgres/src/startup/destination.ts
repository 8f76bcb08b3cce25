/** What a startup packet asks for: who, which database of which target, and with which settings (D35). */
import { Buffer } from 'node:buffer';

import type { Identity } from '@gatehouse/identity';
import type { GatehouseError } from '@gatehouse/kit/errors';

import { postgresError } from '../errors.js';
import { formatStartupOptions, parseStartupOptions } from '../wire/startup-options.js';
import type { StartupParameter } from '../wire/startup.js';
import { maxNameBytes } from '../wire/statement.js';

/** Where to, as whom, and what goes on to the server. */
export interface Destination {
  readonly target: string;
  readonly user: string;
  readonly database: string;
  readonly isReplication: boolean;
  /** Without `user`, without what is for the proxy; one character for each byte. */
  readonly parameters: Readonly<Record<string, string>>;
  /** Names of all settings that are asked for, lower case; undefined for an option that is not understood. */
  readonly settings: readonly { readonly name: string | undefined; readonly value: string }[];
}

const targetSetting = 'gatehouse.target';
/** Parameters that are no settings (PostgreSQL §55.7, StartupMessage). */
const plainParameters: ReadonlySet<string> = new Set([
  'user',
  'database',
  'options',
  'replication',
]);
/** Who acts is decided by roles, as the connection begins as well. */
const actorSettings: ReadonlySet<string> = new Set([
  'role',
  'session_authorization',
  'is_superuser',
]);

export interface DestinationSources {
  readonly identity: Identity;
  /** From the preface. */
  readonly route: { readonly target: string } | undefined;
  readonly parameters: readonly StartupParameter[];
}

/**
 * @throws POSTGRES_NO_USER, POSTGRES_NAME_INVALID, POSTGRES_NO_TARGET, POSTGRES_TARGET_DIFFERS, POSTGRES_SETTING_REFUSED
 */
export function readDestination({ identity, route, parameters }: DestinationSources): Destination {
  const given = new Map(parameters.map(({ name, value }) => [name, value]));
  const user = decodeName('database user', given.get('user') ?? '');
  if (user === '') throw postgresError('POSTGRES_NO_USER', { reason: 'protocol' });
  const database = decodeName('database name', given.get('database') || (given.get('user') ?? ''));
  const options = parseStartupOptions(given.get('options') ?? '');
  const named = options.filter(({ name }) => name === targetSetting).map(({ value }) => value);
  const target = soleTarget([
    ...named,
    ...(route === undefined ? [] : [route.target]),
    ...(identity.route === undefined ? [] : [identity.route.name]),
  ]);
  const kept = options.filter(({ name }) => name !== targetSetting);
  const settings = [
    ...parameters
      .filter(({ name }) => !plainParameters.has(name) && !name.startsWith('_pq_.'))
      .map(({ name, value }) => ({ name: name.toLowerCase(), value })),
    ...kept.map(({ name, value }) => ({ name, value })),
  ];
  refuseSettings(settings);
  const passed = parameters.filter(
    ({ name }) => name !== 'user' && name !== 'options' && !name.startsWith('_pq_.'),
  );
  return {
    target,
    user,
    database,
    isReplication: isReplication(given.get('replication')),
    parameters: {
      ...Object.fromEntries(passed.map(({ name, value }) => [name, value])),
      ...(kept.length === 0 ? {} : { options: formatStartupOptions(kept) }),
    },
    settings,
  };
}

/** An option that is not understood may set anything, and so may not stand. */
function refuseSettings(settings: Destination['settings']): void {
  const refused = settings.find(({ name }) => name === undefined || actorSettings.has(name));
  if (refused === undefined) return;
  throw postgresError('POSTGRES_SETTING_REFUSED', {
    reason: 'setting',
    details: { name: refused.name ?? 'what is no setting' },
  });
}

/** One name, however often it is said. */
function soleTarget(names: readonly string[]): string {
  const [target, ...others] = names;
  if (target === undefined || target === '')
    throw postgresError('POSTGRES_NO_TARGET', { reason: 'no_target' });
  if (others.some((other) => other.toLowerCase() !== target.toLowerCase()))
    throw postgresError('POSTGRES_TARGET_DIFFERS', { reason: 'route' });
  return target;
}

/** Anything but a plain no: a server takes every way of saying yes. */
function isReplication(value: string | undefined): boolean {
  return value !== undefined && !/^(false|off|no|0|f|n)$/i.test(value);
}

function decodeName(what: string, text: string): string {
  // Decided upon would be another name than the server takes.
  if (text.length > maxNameBytes) throw nameInvalid(what, `has more than ${maxNameBytes} bytes`);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(
      Buffer.from(text, 'latin1'),
    );
  } catch (cause) {
    throw nameInvalid(what, 'is no valid UTF-8', cause);
  }
}

function nameInvalid(what: string, why: string, cause?: unknown): GatehouseError {
  return postgresError('POSTGRES_NAME_INVALID', {
    reason: 'protocol',
    details: { what, why },
    ...(cause === undefined ? {} : { cause }),
  });
}
