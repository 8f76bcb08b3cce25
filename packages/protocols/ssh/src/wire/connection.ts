/** Messages of the connection protocol (RFC 4254), as far as a relay must understand them. */
import { WireReader } from './codec.js';

/** Longest host, path or bind address. */
const maxAddressBytes = 4096;
const maxNameBytes = 256;

/** Where a forward leads: a host and port, or a socket in the file system. */
export type ForwardAddress =
  | { readonly host: string; readonly port: number }
  | { readonly path: string };

export interface ChannelOpen {
  readonly type: string;
  readonly sender: number;
  readonly window: number;
  readonly maxPacket: number;
  /** Byte at which the window stands in the message. */
  readonly windowOffset: number;
  /** Of direct and forwarded channels. */
  readonly address?: ForwardAddress;
}

/** SSH_MSG_CHANNEL_OPEN (§5.1, §7.2; PROTOCOL §2.4 for sockets). */
export function parseChannelOpen(message: Buffer): ChannelOpen {
  const reader = new WireReader(message, 1);
  const type = reader.text(maxNameBytes);
  const sender = reader.u32();
  const windowOffset = reader.offset;
  const open = { type, sender, windowOffset, window: reader.u32(), maxPacket: reader.u32() };
  switch (type) {
    case 'direct-tcpip':
    case 'forwarded-tcpip':
      return { ...open, address: { host: reader.text(maxAddressBytes), port: reader.u32() } };
    case 'direct-streamlocal@openssh.com':
    case 'forwarded-streamlocal@openssh.com':
      return { ...open, address: { path: reader.text(maxAddressBytes) } };
    default:
      return open;
  }
}

export interface ChannelConfirmation {
  readonly recipient: number;
  readonly sender: number;
  readonly window: number;
  readonly maxPacket: number;
  readonly windowOffset: number;
}

export function parseChannelConfirmation(message: Buffer): ChannelConfirmation {
  const reader = new WireReader(message, 1);
  const recipient = reader.u32();
  const sender = reader.u32();
  return {
    recipient,
    sender,
    windowOffset: reader.offset,
    window: reader.u32(),
    maxPacket: reader.u32(),
  };
}

export interface GlobalRequest {
  readonly name: string;
  readonly wantReply: boolean;
  /** Of `tcpip-forward`, `streamlocal-forward` and their cancellations. */
  readonly address?: ForwardAddress;
}

/** SSH_MSG_GLOBAL_REQUEST (§4, §7.1). */
export function parseGlobalRequest(message: Buffer): GlobalRequest {
  const reader = new WireReader(message, 1);
  const request = { name: reader.text(maxNameBytes), wantReply: reader.bool() };
  switch (request.name) {
    case 'tcpip-forward':
    case 'cancel-tcpip-forward':
      return { ...request, address: { host: reader.text(maxAddressBytes), port: reader.u32() } };
    case 'streamlocal-forward@openssh.com':
    case 'cancel-streamlocal-forward@openssh.com':
      return { ...request, address: { path: reader.text(maxAddressBytes) } };
    default:
      return request;
  }
}

/** What a channel request asks for; `known` ones need no decision, `unknown` ones are not relayed. */
export type ChannelRequestDetail =
  | {
      readonly kind: 'pty' | 'window';
      readonly columns: number;
      readonly rows: number;
      readonly term: string;
    }
  | { readonly kind: 'env'; readonly variable: string; readonly value: Buffer }
  | { readonly kind: 'exec'; readonly command: Buffer }
  | { readonly kind: 'subsystem'; readonly subsystem: string }
  | { readonly kind: 'shell' | 'agent' | 'x11' | 'known' | 'unknown' }
  | { readonly kind: 'signal'; readonly signal: string }
  | { readonly kind: 'exit-status'; readonly code: number }
  | { readonly kind: 'exit-signal'; readonly signal: string };

/** True for exec, shell and subsystem: a channel has one of them at most. */
export function startsProgram(detail: ChannelRequestDetail): boolean {
  return detail.kind === 'exec' || detail.kind === 'shell' || detail.kind === 'subsystem';
}

export interface ChannelRequest {
  readonly recipient: number;
  readonly name: string;
  readonly wantReply: boolean;
  readonly detail: ChannelRequestDetail;
}

/** SSH_MSG_CHANNEL_REQUEST (§5.4, §6). */
export function parseChannelRequest(message: Buffer): ChannelRequest {
  const reader = new WireReader(message, 1);
  const head = {
    recipient: reader.u32(),
    name: reader.text(maxNameBytes),
    wantReply: reader.bool(),
  };
  return { ...head, detail: requestDetail(head.name, reader) };
}

const knownRequests = new Set(['break', 'xon-xoff', 'eow@openssh.com']);

function requestDetail(name: string, reader: WireReader): ChannelRequestDetail {
  switch (name) {
    case 'pty-req':
      return {
        kind: 'pty',
        term: reader.text(maxNameBytes),
        columns: reader.u32(),
        rows: reader.u32(),
      };
    case 'window-change':
      return { kind: 'window', term: '', columns: reader.u32(), rows: reader.u32() };
    case 'env':
      return variableDetail(reader);
    case 'exec':
      return { kind: 'exec', command: reader.string() };
    case 'shell':
      return { kind: 'shell' };
    case 'subsystem':
      return subsystemDetail(reader);
    default:
      return otherDetail(name, reader);
  }
}

/**
 * Servers in C end a name at NUL: OpenSSH takes `sftp\0` for `sftp` and `BASH_ENV\0` for `BASH_ENV`. What is decided by
 * name holds none, else the relay and the target would read two different names.
 */
function isReadTwoWays(name: string): boolean {
  return name.includes('\0');
}

function variableDetail(reader: WireReader): ChannelRequestDetail {
  const variable = reader.text(maxNameBytes);
  return isReadTwoWays(variable)
    ? { kind: 'unknown' }
    : { kind: 'env', variable, value: reader.string() };
}

function subsystemDetail(reader: WireReader): ChannelRequestDetail {
  const subsystem = reader.text(maxNameBytes);
  return isReadTwoWays(subsystem) ? { kind: 'unknown' } : { kind: 'subsystem', subsystem };
}

function otherDetail(name: string, reader: WireReader): ChannelRequestDetail {
  switch (name) {
    case 'auth-agent-req@openssh.com':
      return { kind: 'agent' };
    case 'x11-req':
      return { kind: 'x11' };
    case 'signal':
      return { kind: 'signal', signal: reader.text(maxNameBytes) };
    case 'exit-status':
      return { kind: 'exit-status', code: reader.u32() };
    case 'exit-signal':
      return { kind: 'exit-signal', signal: reader.text(maxNameBytes) };
    default:
      return { kind: knownRequests.has(name) ? 'known' : 'unknown' };
  }
}

/** Recipient of any message 91–100, without reading the rest. */
export function recipientOf(message: Buffer): number {
  return message.length < 5 ? -1 : message.readUInt32BE(1);
}
