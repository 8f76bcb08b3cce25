/** The sealed secret of a person's authenticator. */
import type { Deps } from '../deps.js';
import type { StoredCredential } from '../store/credentials.js';

export function sealTotpSecret(deps: Pick<Deps, 'keyring'>, user: string, secret: Buffer): Buffer {
  return deps.keyring.seal(place(user), secret);
}

export function openTotpSecret(
  deps: Pick<Deps, 'keyring'>,
  credential: StoredCredential | undefined,
): Buffer | undefined {
  if (credential?.totpSecret === undefined) return undefined;
  return deps.keyring.open(place(credential.user), credential.totpSecret);
}

function place(user: string) {
  return { table: 'user_credential', column: 'totp_secret', row: user };
}
