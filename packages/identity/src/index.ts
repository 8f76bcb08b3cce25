export { identityError, identityErrors } from './errors.js';
export type { RefusalReason } from './errors.js';
export { effectiveRoles, encodeIdentity, parseIdentity } from './identity.js';
export type { Identity, Route } from './identity.js';
export { formatPartName, parsePartName } from './part-name.js';
export type { PartName, ServiceKind } from './part-name.js';
export { createSigner, generateKeyPair, spkiOf } from './keys.js';
export type { KeyPair, Signer } from './keys.js';
export {
  encodeOpensshPrivateKey,
  formatSshPublicKey,
  parseSshPublicKey,
  spkiFromSshPublicKey,
  sshFingerprint,
  sshPublicKey,
  sshPublicKeyFromSpki,
} from './ssh-keys.js';
export { issueSshCertificate, parseSshCertificate } from './ssh-certificate.js';
export type { SshCertificate, SshCertificateRequest } from './ssh-certificate.js';
export { verifySshHostCertificate, verifySshUserCertificate } from './ssh-verify.js';
export type { SshHostCheck, SshUserCheck, VerifiedSshUser } from './ssh-verify.js';
export { signSsh, verifySshSignature } from './ssh-signature.js';
export { verifySshUserProof } from './ssh-proof.js';
export type { SshProofCheck, SshUserProof, VerifiedSshProof } from './ssh-proof.js';
export { derToPem, pemToDer } from './pem.js';
export { createTlsAuthority, issueTlsCertificate } from './x509-issue.js';
export type { TlsAuthority, TlsAuthorityRequest, TlsCertificateRequest } from './x509-issue.js';
export { caPin, verifyPartCertificate, verifyTlsCertificate } from './x509-verify.js';
export type { PartCheck, TlsCheck, VerifiedTls } from './x509-verify.js';
export { signGrant, verifyGrant } from './grant.js';
export type { Grant, GrantCheck, GrantSigner, VerifiedGrant } from './grant.js';
export { computeEnrollmentMac, isMacEqual } from './enrollment.js';
export { checkSourceAddress } from './source-address.js';
