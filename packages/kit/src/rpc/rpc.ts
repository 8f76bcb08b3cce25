/** gRPC between the parts of a cluster: servers that know their caller, clients that know their server. */
export * from './client.js';
export * from './handlers.js';
export { drainServers } from './drain-servers.js';
export { bulkWindowBytes } from './receive-window.js';
export * from './server.js';
export { fromServiceError, statusOfKind, toStatus } from './status.js';
