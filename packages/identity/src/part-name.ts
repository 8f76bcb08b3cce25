/** Names of parts: the one URI SAN that says what an X.509 certificate is (D15). */
import type { GatehouseError } from '@gatehouse/kit/errors';

import { identityError } from './errors.js';

export type ServiceKind = 'auth' | 'proxy' | 'tunnel' | 'audit';

export type PartName = { readonly cluster: string } & (
  | { readonly type: 'service'; readonly kind: ServiceKind; readonly id: string }
  | { readonly type: 'agent'; readonly id: string }
  | { readonly type: 'user'; readonly name: string }
);

const scheme = 'gatehouse://';
const maxUriBytes = 1024;
const maxUserNameBytes = 256;
const serviceKinds: readonly string[] = [
  'auth',
  'proxy',
  'tunnel',
  'audit',
] satisfies ServiceKind[];

/** `gatehouse://<cluster>/service/<kind>/<srv_…>`, `/agent/<agt_…>` or `/user/<name>`. @throws PART_NAME_INVALID */
export function formatPartName(part: PartName): string {
  const uri = `${scheme}${part.cluster}/${formatPath(part)}`;
  parsePartName(uri);
  return uri;
}

function formatPath(part: PartName): string {
  switch (part.type) {
    case 'service':
      return `service/${part.kind}/${part.id}`;
    case 'agent':
      return `agent/${part.id}`;
    case 'user':
      return `user/${encodeName(part.name)}`;
  }
}

/**
 * Reads what {@link formatPartName} writes; a part has exactly one spelling.
 * @throws PART_NAME_INVALID, reason wrong_kind
 */
export function parsePartName(uri: string): PartName {
  if (uri.length > maxUriBytes || !uri.startsWith(scheme))
    throw failure('it begins with gatehouse://');
  const [cluster = '', type, ...rest] = uri.slice(scheme.length).split('/');
  if (!/^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/.test(cluster))
    throw failure('the cluster is not a lower-case DNS name');
  if (type === 'service') return { cluster, type, ...parseService(rest) };
  if (type === 'agent') return { cluster, type, id: parseId('agt', rest) };
  if (type === 'user') return { cluster, type, name: parseName(rest) };
  throw failure('the kind is service, agent or user');
}

function parseService([kind = '', ...rest]: readonly string[]): { kind: ServiceKind; id: string } {
  if (!isServiceKind(kind)) throw failure('there is no such service');
  return { kind, id: parseId('srv', rest) };
}

function isServiceKind(text: string): text is ServiceKind {
  return serviceKinds.includes(text);
}

function parseId(prefix: 'srv' | 'agt', [id = '', ...rest]: readonly string[]): string {
  if (
    rest.length > 0 ||
    !/^[a-z]{3}_[0-9A-Za-z-]{1,64}$/.test(id) ||
    !id.startsWith(`${prefix}_`)
  ) {
    throw failure(`an id ${prefix}_… is needed`);
  }
  return id;
}

function parseName([encoded = '', ...rest]: readonly string[]): string {
  if (rest.length > 0) throw failure('a name has no slash');
  const name = decodeName(encoded);
  if (!isUserName(name) || encodeName(name) !== encoded)
    throw failure('the user name is not spelt as it should be');
  return name;
}

/** Names of people as certificates carry them: 1 to 256 bytes of well-formed text without control characters. */
export function isUserName(name: string): boolean {
  const bytes = Buffer.byteLength(name, 'utf8');
  return (
    bytes > 0 &&
    bytes <= maxUserNameBytes &&
    name.isWellFormed() &&
    !/[\p{Cc}\p{Zl}\p{Zp}]/u.test(name)
  );
}

/** Percent-encoding with `@` left alone, so that addresses stay readable. */
function encodeName(name: string): string {
  if (!isUserName(name)) throw failure('the user name has characters that a name may not have');
  return encodeURIComponent(name).replaceAll('%40', '@');
}

function decodeName(encoded: string): string {
  try {
    return decodeURIComponent(encoded);
  } catch (cause) {
    throw identityError('PART_NAME_INVALID', {
      details: { why: 'bad escape' },
      reason: 'wrong_kind',
      cause,
    });
  }
}

function failure(why: string): GatehouseError {
  return identityError('PART_NAME_INVALID', { details: { why }, reason: 'wrong_kind' });
}
