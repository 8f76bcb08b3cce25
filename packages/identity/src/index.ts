export type { Identity, Route } from './identity.js';
export type { SshUserProof } from './ssh-proof.js';
