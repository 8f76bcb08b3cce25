/** SFTP version 3 (draft-ietf-secsh-filexfer-02), as far as an observer between client and server needs it. */
import { sshError } from '../errors.js';
import { encodeFields, WireReader } from './codec.js';

export const sftpType = {
  init: 1,
  version: 2,
  open: 3,
  close: 4,
  read: 5,
  write: 6,
  lstat: 7,
  fstat: 8,
  setstat: 9,
  fsetstat: 10,
  opendir: 11,
  readdir: 12,
  remove: 13,
  mkdir: 14,
  rmdir: 15,
  realpath: 16,
  stat: 17,
  rename: 18,
  readlink: 19,
  symlink: 20,
  status: 101,
  handle: 102,
  data: 103,
  name: 104,
  extended: 200,
} as const;

export const sftpStatus = { ok: 0, permissionDenied: 3, failure: 4, unsupported: 8 } as const;

/** `pflags` of OPEN (§6.3). */
export const openFlag = { read: 1, write: 2, append: 4, create: 8, truncate: 16 } as const;

/** Largest packet of either side; OpenSSH's own limit is 256 KiB. */
const maxPacketBytes = 256 * 1024 + 1024;

/** A part of the stream: the head of a packet (all of it where the limit allows), or bytes of its body. */
export type SftpPiece =
  | {
      readonly kind: 'head';
      readonly bytes: Buffer;
      readonly type: number;
      readonly complete: boolean;
    }
  | { readonly kind: 'body'; readonly bytes: Buffer };

/**
 * Cuts one direction of an SFTP stream into packets. At most one head (`headBytes` of it) is held back; bodies pass as
 * they come. Heads are copies, bodies are views of the input.
 */
export class SftpSplitter {
  private held = Buffer.alloc(0);
  private bodyLeft = 0;

  /** @param headBytes how much of a packet of `type` to hold until it is there, including its 5 bytes of length and type */
  constructor(private readonly headBytes: (type: number) => number) {}

  /** True between two packets: only there may a packet be put in. */
  get atBoundary(): boolean {
    return this.held.length === 0 && this.bodyLeft === 0;
  }

  /** True while the body of a packet passes. */
  get isInBody(): boolean {
    return this.bodyLeft > 0;
  }

  /** @throws SSH_PROTOCOL for a packet of impossible length */
  feed(data: Buffer): SftpPiece[] {
    const pieces: SftpPiece[] = [];
    let rest = data;
    while (rest.length > 0) rest = this.step(rest, pieces);
    return pieces;
  }

  private step(data: Buffer, pieces: SftpPiece[]): Buffer {
    if (this.bodyLeft > 0) {
      const bytes = data.subarray(0, this.bodyLeft);
      this.bodyLeft -= bytes.length;
      pieces.push({ kind: 'body', bytes });
      return data.subarray(bytes.length);
    }
    const wanted = this.wantedBytes();
    const taken = data.subarray(0, wanted - this.held.length);
    this.held = Buffer.concat([this.held, taken]);
    if (this.held.length >= 5 && this.held.length === this.wantedBytes())
      pieces.push(this.takeHead());
    return data.subarray(taken.length);
  }

  private wantedBytes(): number {
    if (this.held.length < 5) return 5;
    return Math.min(this.packetBytes(), Math.max(5, this.headBytes(this.held.readUInt8(4))));
  }

  private packetBytes(): number {
    const length = this.held.readUInt32BE(0);
    if (length < 1 || length > maxPacketBytes) throw tooLong();
    return length + 4;
  }

  private takeHead(): SftpPiece {
    const bytes = this.held;
    this.bodyLeft = this.packetBytes() - bytes.length;
    this.held = Buffer.alloc(0);
    return { kind: 'head', bytes, type: bytes.readUInt8(4), complete: this.bodyLeft === 0 };
  }
}

function tooLong(): Error {
  return sshError('SSH_PROTOCOL', {
    details: { why: 'an SFTP packet of impossible length' },
    reason: 'protocol',
  });
}

/** A request that names or opens a file. Handles are hexadecimal text. */
export interface SftpRequest {
  readonly type: number;
  readonly id: number;
  readonly path?: Buffer;
  /** Second path of rename and symlink. */
  readonly otherPath?: Buffer;
  readonly handle?: string;
  readonly flags?: number;
  /** Bytes that a WRITE carries. */
  readonly dataBytes?: number;
  /** Name of an extended request. */
  readonly extension?: string;
}

const handleRequests: ReadonlySet<number> = new Set([
  sftpType.close,
  sftpType.read,
  sftpType.fstat,
  sftpType.fsetstat,
  sftpType.readdir,
]);

const twoPathExtensions = new Set(['posix-rename@openssh.com', 'hardlink@openssh.com']);

/** Reads a client's packet (its head is enough for WRITE). @throws SSH_PROTOCOL */
export function parseSftpRequest(packet: Buffer): SftpRequest {
  const reader = new WireReader(packet, 4);
  const type = reader.u8();
  const id = reader.u32();
  if (type === sftpType.init) return { type, id };
  if (type === sftpType.extended) return parseExtended(reader, id);
  if (type === sftpType.write) {
    const handle = reader.string(256).toString('hex');
    reader.u64();
    return { type, id, handle, dataBytes: reader.u32() };
  }
  if (handleRequests.has(type)) return { type, id, handle: reader.string(256).toString('hex') };
  const path = reader.string();
  if (type === sftpType.open) return { type, id, path, flags: reader.u32() };
  if (type === sftpType.rename || type === sftpType.symlink) {
    return { type, id, path, otherPath: reader.string() };
  }
  return { type, id, path };
}

function parseExtended(reader: WireReader, id: number): SftpRequest {
  const extension = reader.text(256);
  const request = { type: sftpType.extended, id, extension };
  if (twoPathExtensions.has(extension))
    return { ...request, path: reader.string(), otherPath: reader.string() };
  if (extension === 'lsetstat@openssh.com') return { ...request, path: reader.string() };
  return request;
}

/** What of a server's answer matters. */
export interface SftpReply {
  readonly type: number;
  readonly id: number;
  readonly status?: number;
  readonly handle?: string;
  readonly dataBytes?: number;
  /** First name of a NAME answer. */
  readonly name?: Buffer;
}

/** Reads the head of a server's packet; what the head does not hold is left out. @throws SSH_PROTOCOL */
export function parseSftpReply(head: Buffer): SftpReply {
  const reader = new WireReader(head, 4);
  const type = reader.u8();
  const id = reader.u32();
  switch (type) {
    case sftpType.status:
      return { type, id, status: reader.u32() };
    case sftpType.handle:
      return { type, id, handle: reader.string(256).toString('hex') };
    case sftpType.data:
      return { type, id, dataBytes: reader.u32() };
    case sftpType.name:
      return { type, id, ...readFirstName(reader) };
    default:
      return { type, id };
  }
}

function readFirstName(reader: WireReader): { name?: Buffer } {
  if (reader.u32() === 0 || reader.remaining < 4) return {};
  const length = reader.u32();
  return length <= reader.remaining ? { name: reader.rest().subarray(0, length) } : {};
}

/** A STATUS answer as a whole packet. */
export function encodeSftpStatus(id: number, status: number, message: string): Buffer {
  return framed(sftpType.status, encodeFields(id, status, message, ''));
}

/** A REALPATH request as a whole packet. */
export function encodeSftpRealpath(id: number, path: Buffer): Buffer {
  return framed(sftpType.realpath, encodeFields(id, path));
}

function framed(type: number, body: Buffer): Buffer {
  return Buffer.concat([encodeFields(body.length + 1), Buffer.of(type), body]);
}
