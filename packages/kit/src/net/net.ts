/** Sockets: the PROXY header, joining two connections, addresses. */
export { connectFailureOf, type ConnectFailure } from './connect-failure.js';
export { connectFirst } from './connect-first.js';
export { netError, netErrors } from './errors.js';
export { formatIpAddress, parseIpAddress } from './ip-address.js';
export { breakPlainly, joinStreams, type JoinOptions, type JoinResult } from './join-streams.js';
export {
  encodeProxyHeader,
  maxProxyHeaderBytes,
  parseProxyHeader,
  readProxyHeader,
  type Endpoint,
  type ProxyHeader,
} from './proxy-header.js';
export { onSharedChunks } from './shared-reads.js';
export { splitAddress } from './split-address.js';
export { watchPeer } from './watch-peer.js';
