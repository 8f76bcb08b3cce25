export { acceptTunnel, type AcceptedTunnel, type TunnelDial } from './accept-tunnel.js';
export type { ControlChannel } from './control-channel.js';
export { allowsDynamicName } from './dynamic-names.js';
export { dialError, tunnelError, tunnelErrors, type DialReason } from './errors.js';
export {
  createAgentDirectory,
  type AgentDirectory,
  type AgentDirectoryOptions,
  type DirectoryDial,
  type ReplicaConnection,
  type ReplicaState,
} from './hop/agent-directory.js';
export { tunnelServiceDefinition } from './hop/definition.js';
export {
  createHop,
  type Hop,
  type HopDial,
  type HopOptions,
  type TargetStream,
} from './hop/hop.js';
export type { Presence } from './hop/presence.js';
export {
  createTunnelRpc,
  type ProxyWatch,
  type TunnelRpc,
  type TunnelRpcOptions,
} from './hop/tunnel-rpc.js';
export { serveTunnel, type IncomingDial, type ServedTunnel } from './serve-tunnel.js';
export type { TunnelEnd } from './session-life.js';
export { defaultLimits, tunnelAlpn, type TunnelLimits } from './session-options.js';
export { breakConnection } from './streams.js';
