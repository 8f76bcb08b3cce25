export { acceptTunnel, type AcceptedTunnel, type TunnelDial } from './accept-tunnel.js';
export type { ControlChannel } from './control-channel.js';
export { dialError, tunnelError, tunnelErrors, type DialReason } from './errors.js';
export { serveTunnel, type IncomingDial, type ServedTunnel } from './serve-tunnel.js';
export { defaultLimits, tunnelAlpn, type TunnelLimits } from './session-options.js';
export type { TunnelEnd } from './session-life.js';
export { breakConnection } from './streams.js';
