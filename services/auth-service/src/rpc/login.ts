/** Checks password and code and signs certificates for the given keys. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  LoginRequest,
  LoginResponse,
  DeepPartial,
} from '@gatehouse/proto/auth/v1/login_service';

import type { Context, Deps } from '../deps.js';
import { logIn } from '../users/login.js';
import { decodeTtl, encodeIssued } from './messages.js';

export const callers: readonly CallerRule[] = ['anonymous'];

export async function handle(
  deps: Deps,
  request: LoginRequest,
  context: Context,
): Promise<DeepPartial<LoginResponse>> {
  const { user, password, otp, sshPublicKey, tlsPublicKey } = request;
  const ttlMs = decodeTtl(request.ttl);
  const { clientAddress } = context;
  const result = await logIn(deps, {
    user,
    password,
    otp,
    sshPublicKey,
    tlsPublicKey,
    ttlMs,
    clientAddress,
  });
  return { issued: await encodeIssued(deps, result.login, result.certificates) };
}
