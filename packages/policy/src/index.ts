export type { RoleOptions } from './role-options.js';
