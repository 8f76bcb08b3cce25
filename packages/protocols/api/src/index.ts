export * from './contract.js';
export { hostError, hostErrors } from './errors.js';
export { isSessionEnd } from './session-end.js';
