export * from './contract.js';
export { hostError, hostErrors } from './errors.js';
