export * from './contract.js';
export { hostError, hostErrors } from './errors.js';
export { isSessionEnd, sessionEndOf } from './session-end.js';
