import { derToPem } from '@gatehouse/identity';
import type { TrustBundle } from '@gatehouse/proto/auth/v1/trust';

import { withAdministration } from '../cluster/clients.js';
import { defineCommand, exitCodes } from '../command.js';
import { cliError, usageError } from '../errors.js';
import { findNearest } from '../nearest.js';
import { writeJson } from '../output/json.js';

const toPem = (certificates: readonly Buffer[]) =>
  certificates.map((der) => derToPem(der, 'CERTIFICATE'));

/** Where a kind of authority stands in the answer. */
const kinds: Readonly<Record<string, (trust: Trust) => readonly string[]>> = {
  user_ssh: (trust) => toLines(trust.userSsh),
  target_ssh: (trust) => toLines(trust.targetSsh),
  host_ssh: (trust) => toLines(trust.hostSsh),
  user_tls: (trust) => toPem(trust.userTlsCa),
  host_tls: (trust) => toPem(trust.hostTlsCa),
  db_client: (trust) => toPem(trust.dbClientCa),
};

type Trust = TrustBundle & { readonly dbClientCa: readonly Buffer[] };

function toLines(keys: readonly string[]): readonly string[] {
  return keys.map((key) => `${key.trim()}\n`);
}

/** `gate ca export` */
export const command = defineCommand({
  name: 'ca export',
  usage: 'KIND',
  summary: 'print the trusted keys of an authority',
  help: {
    examples: [
      'gate ca export target_ssh > /etc/ssh/gatehouse_ca.pub   # TrustedUserCAKeys',
      'gate ca export host_tls',
      'gate ca export user_ssh --format json',
    ],
    notes: [
      `KIND is one of ${Object.keys(kinds).join(', ')}. SSH: an OpenSSH line per key; TLS: PEM.`,
    ],
  },
  options: {},
  arguments: { min: 1, max: 1 },
  async run(call) {
    const { environment, options } = call;
    const kind = call.arguments[0] ?? '';
    const select = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
    if (select === undefined) throw unknownKind(kind);
    const answer = await withAdministration(call, (client) => client.getTrust({}));
    const { trust, dbClientCa } = answer;
    if (trust === undefined) throw cliError('NOT_FOUND', { details: { what: 'trusted keys' } });
    const keys = select({ ...trust, dbClientCa });
    if (options.format === 'json')
      writeJson(environment, { kind, keys: keys.map((key) => key.trim()) });
    else environment.stdout.write(keys.join(''));
    return exitCodes.done;
  },
});

function unknownKind(kind: string): Error {
  const nearest = findNearest(kind, Object.keys(kinds));
  const hint = nearest === undefined ? '' : `; did you mean ${nearest}?`;
  return usageError(
    `"${kind}" is no kind of authority${hint}`,
    `gate ca export ${Object.keys(kinds).join('|')}`,
  );
}
