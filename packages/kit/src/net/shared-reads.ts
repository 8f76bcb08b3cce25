/** Reading sockets into one buffer of the process, for those who are done with a chunk before they return. */
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** Larger than what a socket usually holds, smaller than the caches of a processor (docs/benchmarks.md). */
const sharedBytes = 512 * 1024;
let shared: Buffer | undefined;

/**
 * Hands what arrives on `stream` to `onChunk`. A chunk of a connected socket is a view of a buffer that every such socket
 * of the process reads into: it is valid only during the call. That saves a buffer of 64 KiB and its collection for each
 * read, and takes what waits in one read instead of eight. Chunks of any other stream, and those that were put back with
 * `unshift` or had been read before, come by 'data' as ever. A pause of a TLS socket holds back what is not decrypted yet:
 * chunks of up to 64 KiB may still come.
 *
 * `net` offers this only to sockets that it connects itself (option `onread`), not to accepted ones or to TLS on top of
 * them, so this sets what that option would have set; where a version of Node has it otherwise, all come by 'data'.
 */
export function onSharedChunks(stream: Duplex, onChunk: (chunk: Buffer) => void): void {
  stream.on('data', onChunk);
  const slots = stream instanceof Socket ? readSlots(stream) : undefined;
  if (slots === undefined) return;
  shared ??= Buffer.allocUnsafeSlow(sharedBytes);
  slots.set(shared, onChunk);
}

/** True where `onSharedChunks` can do what it is for with this socket. */
export function canShareReads(socket: Socket): boolean {
  return readSlots(socket) !== undefined;
}

interface ReadSlots {
  set(buffer: Buffer, onChunk: (chunk: Buffer) => void): void;
}

interface Handle {
  useUserBuffer(buffer: Buffer): void;
}

function readSlots(socket: Socket): ReadSlots | undefined {
  const handle: unknown = Reflect.get(socket, '_handle');
  const symbols = Object.getOwnPropertySymbols(socket);
  const [bufferSlot, callbackSlot] = ['kBuffer', 'kBufferCb'].map((name) =>
    symbols.find((symbol) => symbol.description === name),
  );
  if (socket.connecting || !isHandle(handle)) return undefined;
  if (bufferSlot === undefined || callbackSlot === undefined) return undefined;
  return {
    set(buffer, onChunk) {
      Reflect.set(socket, bufferSlot, buffer);
      Reflect.set(socket, callbackSlot, (length: number) => {
        onChunk(buffer.subarray(0, length));
        return true;
      });
      handle.useUserBuffer(buffer);
    },
  };
}

function isHandle(value: unknown): value is Handle {
  return (
    typeof value === 'object' &&
    value !== null &&
    'useUserBuffer' in value &&
    typeof value.useUserBuffer === 'function'
  );
}
