/**
 * Reads an SFTP session as it passes: which files are opened, how many bytes go each way, what is renamed or removed;
 * and answers in the server's place where the role allows one direction only.
 *
 * To report a path as the target resolved it, the inspector asks the server for it (REALPATH) just before an OPEN and
 * takes the answer out of the stream again. Both uses of foreign windows are paid from reserves (reserve.ts).
 */
import { sshError } from '../errors.js';
import { escapeBytes } from '../wire/escape.js';
import {
  encodeSftpRealpath,
  encodeSftpStatus,
  openFlag,
  parseSftpReply,
  parseSftpRequest,
  SftpSplitter,
  sftpStatus,
  sftpType,
  type SftpPiece,
  type SftpReply,
  type SftpRequest,
} from '../wire/sftp.js';
import type { RelayChannel, StreamInspector } from './channel.js';
import type { Relay } from './relay.js';
import { changeOf, deniedDirections, openDirections, type FileChange } from './sftp-rules.js';
import type { Direction } from './transfer-rules.js';

/** Requests without an answer; OpenSSH keeps 64. */
const maxPending = 4096;
const maxHandles = 1024;
/** Longest path; beyond it no file system goes. */
const maxPathBytes = 4096;
/** A request is held whole up to here; anything longer is refused (WRITE is never held whole). */
const maxRequestBytes = 20_000;
/** Enough of a WRITE: length, type, id, handle, offset, length of the data. */
const writeHeadBytes = 4 + 1 + 4 + 4 + 256 + 8 + 4;
/** Enough of STATUS and DATA: length, type, id, code or length. */
const shortHeadBytes = 4 + 1 + 4 + 4;
/** Enough of HANDLE. */
const handleHeadBytes = shortHeadBytes + 256;
/** Enough of NAME: count, length of the first name, the name. */
const nameHeadBytes = shortHeadBytes + 4 + maxPathBytes;
/** With a smaller window of the user, names are not held: its answer could need more than the window. */
const resolvingWindowBytes = 32 * 1024;
/** Answers of ours that wait for a packet boundary or for window. */
const maxQueuedBytes = 64 * 1024;
/** Our own request ids start here, past those of clients, who count from 0; one that is in use is passed over. */
const firstOwnId = 0xfff0_0000;

interface OpenFile {
  readonly path: Buffer;
  readonly resolved: { path?: Buffer };
  readonly flags: number;
  readonly isDirectory: boolean;
  bytesRead: number;
  bytesWritten: number;
}

type Pending =
  | { readonly kind: 'open'; readonly file: OpenFile }
  | { readonly kind: 'read'; readonly file: OpenFile | undefined }
  | { readonly kind: 'close'; readonly handle: string }
  | { readonly kind: 'change'; readonly change: FileChange }
  | { readonly kind: 'resolve'; readonly resolved: { path?: Buffer } }
  | { readonly kind: 'other' };

export function createSftpInspector(relay: Relay, channel: RelayChannel): StreamInspector {
  return new SftpInspector(relay, channel);
}

class SftpInspector implements StreamInspector {
  private readonly requests = new SftpSplitter((type) =>
    type === sftpType.write ? writeHeadBytes : maxRequestBytes,
  );
  private readonly replies = new SftpSplitter((type) => this.replyHeadBytes(type));
  private readonly pending = new Map<number, Pending>();
  private readonly handles = new Map<string, OpenFile>();
  private readonly toldDirections = new Set<string>();
  private queued: Buffer[] = [];
  private queuedBytes = 0;
  private nextOwnId = firstOwnId;
  /** The body of the reply in hand is ours and does not pass. */
  private isSwallowing = false;
  /** The body of the request in hand was refused and does not pass. */
  private isDropping = false;

  constructor(
    private readonly relay: Relay,
    private readonly channel: RelayChannel,
  ) {}

  fromUser(data: Buffer): boolean {
    const wasClean = this.isClean(this.requests);
    const out: Buffer[] = [];
    let isChanged = false;
    let taken = 0;
    for (const piece of this.requests.feed(data)) {
      if (piece.kind === 'body') {
        if (!this.isDropping) out.push(piece.bytes);
        else taken += piece.bytes.length;
      } else {
        const result = this.onRequest(piece.bytes, piece.complete);
        this.isDropping = result.takenBytes > 0;
        out.push(...result.forward);
        isChanged ||= result.isChanged;
        taken += result.takenBytes;
      }
    }
    if (wasClean && !isChanged && taken === 0 && this.isClean(this.requests)) return true;
    if (out.length > 0) this.relay.sendData('node', this.channel, Buffer.concat(out));
    this.relay.sendCredit('user', this.channel, taken);
    this.flushQueued();
    return false;
  }

  fromNode(data: Buffer): boolean {
    const wasClean = this.isClean(this.replies);
    const wasSwallowing = this.isSwallowing;
    const out: Buffer[] = [];
    let taken = 0;
    for (const piece of this.replies.feed(data)) {
      if (this.isOurs(piece)) taken += piece.bytes.length;
      else out.push(piece.bytes);
    }
    if (this.replies.atBoundary) this.isSwallowing = false;
    this.relay.sendCredit('node', this.channel, taken);
    const isWhole = wasClean && !wasSwallowing && taken === 0 && this.isClean(this.replies);
    if (isWhole && this.queued.length === 0) return true;
    // What the node sent goes before what is put in behind it.
    if (out.length > 0) this.relay.sendData('user', this.channel, Buffer.concat(out));
    this.flushQueued();
    return false;
  }

  /** Part of an answer to a question of ours. */
  private isOurs(piece: SftpPiece): boolean {
    if (piece.kind === 'head') this.isSwallowing = this.onReply(parseSftpReply(piece.bytes));
    return this.isSwallowing;
  }

  /** Nothing of this direction is held back. */
  private isClean(splitter: SftpSplitter): boolean {
    return splitter.atBoundary || splitter.isInBody;
  }

  onWindow(): void {
    this.flushQueued();
  }

  end(): void {
    for (const file of this.handles.values()) this.reportFile(file, false);
    this.handles.clear();
    this.pending.clear();
  }

  private onRequest(
    packet: Buffer,
    isComplete: boolean,
  ): { forward: Buffer[]; isChanged: boolean; takenBytes: number } {
    const type = packet.readUInt8(4);
    if (!isComplete && type !== sftpType.write)
      throw violation('an SFTP request of more than 20,000 bytes');
    const request = parseSftpRequest(packet);
    if (request.type === sftpType.init) {
      return { forward: [packet], isChanged: clampVersion(packet), takenBytes: 0 };
    }
    this.checkRequest(request);
    const refusal = this.refusalOf(request);
    if (refusal !== undefined) {
      this.answer(encodeSftpStatus(request.id, refusal.status, refusal.text));
      return { forward: [], isChanged: true, takenBytes: packet.length };
    }
    const before = this.note(request);
    return { forward: [...before, packet], isChanged: before.length > 0, takenBytes: 0 };
  }

  /** What no honest client sends, as it would hide from the log which file an answer or bytes belong to. */
  private checkRequest({ id, type, handle }: SftpRequest): void {
    if (this.pending.has(id)) throw violation('an SFTP request id is used twice');
    const movesBytes = type === sftpType.read || type === sftpType.write;
    if (movesBytes && (handle === undefined || !this.handles.has(handle)))
      throw violation('SFTP bytes of a file that is not open');
  }

  private refusalOf(request: SftpRequest): { status: number; text: string } | undefined {
    const longest = Math.max(request.path?.length ?? 0, request.otherPath?.length ?? 0);
    if (longest > maxPathBytes) return { status: sftpStatus.failure, text: 'the path is too long' };
    const [direction] = deniedDirections(request, this.relay.session.options.fileTransfer);
    if (direction === undefined) return undefined;
    const text = `${direction} is not allowed`;
    this.reportDenied(request, direction);
    if (!this.toldDirections.has(direction)) {
      this.relay.sendText(this.channel, `gatehouse: ${text}\r\n`);
    }
    this.toldDirections.add(direction);
    return { status: sftpStatus.permissionDenied, text };
  }

  private reportDenied(request: SftpRequest, direction: Direction): void {
    const path = request.path ?? this.handles.get(request.handle ?? '')?.path;
    this.relay.emitDenied('ssh.file_denied', {
      channel: this.channel.userId,
      tool: 'sftp',
      operation: deniedOperation(request),
      direction,
      ...(path && { path: escapeBytes(path) }),
    });
  }

  /** Remembers what the answer will mean. Returns what is to be sent before the request. */
  private note(request: SftpRequest): Buffer[] {
    if (this.pending.size >= maxPending || this.handles.size >= maxHandles) {
      throw violation('too many open SFTP requests or handles');
    }
    const isOpen = request.type === sftpType.open || request.type === sftpType.opendir;
    if (isOpen && request.path !== undefined) return this.noteOpen(request, request.path);
    const file = request.handle === undefined ? undefined : this.handles.get(request.handle);
    if (file !== undefined) file.bytesWritten += request.dataBytes ?? 0;
    this.pending.set(request.id, this.meaningOf(request, file));
    return [];
  }

  private meaningOf(request: SftpRequest, file: OpenFile | undefined): Pending {
    if (request.type === sftpType.read) return { kind: 'read', file };
    if (request.type === sftpType.close) return { kind: 'close', handle: request.handle ?? '' };
    const change = changeOf(request, file?.path);
    return change === undefined ? { kind: 'other' } : { kind: 'change', change };
  }

  private noteOpen(request: SftpRequest, path: Buffer): Buffer[] {
    const isDirectory = request.type === sftpType.opendir;
    const file = createFile(path, { flags: request.flags ?? 0, isDirectory });
    this.pending.set(request.id, { kind: 'open', file });
    return isDirectory ? [] : this.askForPath(file);
  }

  private askForPath(file: OpenFile): Buffer[] {
    if (this.channel.userWindow < resolvingWindowBytes) return [];
    const id = this.takeOwnId();
    const question = encodeSftpRealpath(id, file.path);
    if (!this.channel.nodeReserve.take(question.length)) return [];
    this.pending.set(id, { kind: 'resolve', resolved: file.resolved });
    return [question];
  }

  /** A free one: there are far more than may be pending. */
  private takeOwnId(): number {
    let id = this.nextOwnId;
    while (this.pending.has(id)) id = nextOwnIdAfter(id);
    this.nextOwnId = nextOwnIdAfter(id);
    return id;
  }

  /** True when the reply is to a question of ours and does not pass. */
  private onReply(reply: SftpReply): boolean {
    // VERSION has no id.
    if (reply.type === sftpType.version) return false;
    const pending = this.pending.get(reply.id);
    this.pending.delete(reply.id);
    if (pending?.kind === 'resolve') {
      if (reply.name !== undefined) pending.resolved.path = Buffer.from(reply.name);
      return true;
    }
    if (pending !== undefined) this.onAnswered(pending, reply);
    return false;
  }

  private onAnswered(pending: Exclude<Pending, { kind: 'resolve' }>, reply: SftpReply): void {
    switch (pending.kind) {
      case 'open':
        if (reply.handle !== undefined) this.handles.set(reply.handle, pending.file);
        return;
      case 'read':
        if (pending.file !== undefined) pending.file.bytesRead += reply.dataBytes ?? 0;
        return;
      case 'close':
        return this.onClosed(pending.handle);
      case 'change':
        return this.reportChange(pending.change, reply.status === sftpStatus.ok);
      case 'other':
    }
  }

  private onClosed(handle: string): void {
    const file = this.handles.get(handle);
    this.handles.delete(handle);
    if (file !== undefined) this.reportFile(file, true);
  }

  private reportFile(file: OpenFile, isComplete: boolean): void {
    if (file.isDirectory) return;
    for (const direction of movedDirections(file)) {
      const isUpload = direction === 'upload';
      this.relay.session.emit({
        type: 'ssh.file_transferred',
        outcome: isComplete ? 'success' : 'failure',
        data: {
          channel: this.channel.userId,
          tool: 'sftp',
          path: escapeBytes(file.path),
          ...(file.resolved.path && { resolvedPath: escapeBytes(file.resolved.path) }),
          operation: isUpload ? 'write' : 'read',
          direction,
          bytes: isUpload ? file.bytesWritten : file.bytesRead,
          complete: isComplete,
        },
      });
    }
  }

  private reportChange(change: FileChange, isDone: boolean): void {
    this.relay.session.emit({
      type: 'ssh.file_changed',
      outcome: isDone ? 'success' : 'failure',
      data: {
        channel: this.channel.userId,
        operation: change.operation,
        path: escapeBytes(change.path),
        ...(change.otherPath && { otherPath: escapeBytes(change.otherPath) }),
      },
    });
  }

  private replyHeadBytes(type: number): number {
    if (type === sftpType.handle) return handleHeadBytes;
    const holdsNames = type === sftpType.name && this.channel.userWindow >= resolvingWindowBytes;
    return holdsNames ? nameHeadBytes : shortHeadBytes;
  }

  private answer(packet: Buffer): void {
    this.queuedBytes += packet.length;
    if (this.queuedBytes > maxQueuedBytes) throw violation('too many refused SFTP requests');
    this.queued.push(packet);
  }

  private flushQueued(): void {
    while (this.queued.length > 0 && this.replies.atBoundary) {
      const packet = this.queued[0];
      if (packet === undefined || !this.channel.userReserve.take(packet.length)) return;
      this.queued.shift();
      this.queuedBytes -= packet.length;
      this.relay.sendData('user', this.channel, packet);
    }
  }
}

function nextOwnIdAfter(id: number): number {
  return id === 0xffff_ffff ? firstOwnId : id + 1;
}

function createFile(path: Buffer, options: { flags: number; isDirectory: boolean }): OpenFile {
  return { path: Buffer.from(path), resolved: {}, ...options, bytesRead: 0, bytesWritten: 0 };
}

/** What happened to a file: emptying it is writing; where no byte moved, what it was opened for. */
function movedDirections({ flags, bytesRead, bytesWritten }: OpenFile): Direction[] {
  const moved: Direction[] = [];
  if (bytesWritten > 0 || (flags & openFlag.truncate) !== 0) moved.push('upload');
  if (bytesRead > 0) moved.push('download');
  return moved.length > 0 ? moved : openDirections(flags).slice(0, 1);
}

function deniedOperation(request: SftpRequest): string {
  if (request.type === sftpType.read) return 'read';
  if (request.type === sftpType.write) return 'write';
  return changeOf(request)?.operation ?? 'open';
}

/** Makes INIT ask for version 3 at most: later ones word OPEN in another way. True when it asked for more. */
function clampVersion(packet: Buffer): boolean {
  if (packet.length < 9 || packet.readUInt32BE(5) <= 3) return false;
  packet.writeUInt32BE(3, 5);
  return true;
}

function violation(why: string): Error {
  return sshError('SSH_PROTOCOL', { details: { why }, reason: 'protocol' });
}
