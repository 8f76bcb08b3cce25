/** Why a connection failed, in the words of the acceptance scenarios. */
const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  ENOTFOUND: 'name not found',
  EAI_AGAIN: 'name not found',
  ETIMEDOUT: 'timed out',
  ESOCKETTIMEDOUT: 'timed out',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no network',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet; check the clock',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate is of another authority',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is of another authority',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate is of another authority',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate is of another authority',
  UNABLE_TO_GET_ISSUER_CERT: 'its certificate is of another authority',
  CERT_SIGNATURE_FAILURE: 'its certificate is of another authority',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'it does not speak TLS',
};

/** What stood in the way, in words; the message of the error where there are none for it. */
export function describeNetworkError(thrown: unknown): string {
  for (const error of withCauses(thrown)) {
    const found = words[codeOf(error) ?? ''];
    if (found !== undefined) return found;
  }
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** Node tries several addresses and throws all failures together. */
function withCauses(thrown: unknown): readonly unknown[] {
  if (thrown instanceof AggregateError) {
    const errors: unknown[] = thrown.errors;
    return [thrown, ...errors];
  }
  if (thrown instanceof Error && thrown.cause !== undefined)
    return [thrown, ...withCauses(thrown.cause)];
  return [thrown];
}

/** The code of a system or TLS error; Node's verdict on a chain is the bare code. */
export function codeOf(thrown: unknown): string | undefined {
  if (typeof thrown === 'string') return thrown;
  if (!(thrown instanceof Error) || !('code' in thrown)) return undefined;
  return typeof thrown.code === 'string' ? thrown.code : undefined;
}
