/** What a proxy shows auth-service to prove that a person is at the other end (D21). */

export interface SshUserProof {
  /** The person's SSH certificate, wire blob. */
  readonly certificate: Buffer;
  /** The bytes that were signed: session id, then the userauth request (RFC 4252 §7). */
  readonly signedData: Buffer;
  /** Signature with its algorithm, as on the wire. */
  readonly signature: Buffer;
}
