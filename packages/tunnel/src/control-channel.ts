/** The control stream of a tunnel: typed messages both ways for as long as the tunnel stands. */
import type { Duplex } from 'node:stream';

import { GatehouseError } from '@gatehouse/kit/errors';

import { ControlFrameDecoder, encodeControlFrame } from './control-frames.js';
import { tunnelError } from './errors.js';

/** A generated message codec. */
export interface MessageCodec<Message> {
  encode(message: Message): { finish(): Uint8Array };
  decode(bytes: Uint8Array): Message;
}

export interface ControlChannel<Incoming, Outgoing> {
  /** Sends, or ends the tunnel when the other side does not read. @throws FRAME_INVALID where it is too long */
  send(message: Outgoing): void;
  /**
   * What the other side says; ends with the tunnel. To be read once, by one reader.
   * @throws FRAME_INVALID for what can't be decoded
   */
  messages(): AsyncGenerator<Incoming, void, undefined>;
}

/** Bytes that may wait for a reader before the tunnel is given up. */
const maxQueuedBytes = 8 << 20;

export function createControlChannel<Incoming, Outgoing>(
  stream: Duplex,
  codecs: { readonly incoming: MessageCodec<Incoming>; readonly outgoing: MessageCodec<Outgoing> },
): ControlChannel<Incoming, Outgoing> {
  return {
    send(message) {
      if (stream.destroyed || stream.writableEnded) return;
      stream.write(encodeControlFrame(codecs.outgoing.encode(message).finish()));
      if (stream.writableLength > maxQueuedBytes)
        stream.destroy(new Error('control messages are not read'));
    },
    async *messages() {
      const decoder = new ControlFrameDecoder();
      for await (const chunk of readChunks(stream))
        for (const frame of decoder.push(chunk)) yield decodeMessage(codecs.incoming, frame);
    },
  };
}

/** Chunks until the stream ends in whatever way; how it ends is the tunnel's business. */
async function* readChunks(stream: Duplex): AsyncGenerator<Buffer, void, undefined> {
  const chunks: AsyncIterator<unknown> = stream[Symbol.asyncIterator]();
  for (;;) {
    const next = await chunks.next().catch(() => ({ done: true, value: undefined }));
    if (next.done === true) return;
    if (Buffer.isBuffer(next.value)) yield next.value;
  }
}

/** Decodes one message. @throws FRAME_INVALID */
export function decodeMessage<Message>(codec: MessageCodec<Message>, bytes: Uint8Array): Message {
  try {
    return codec.decode(bytes);
  } catch (cause) {
    if (cause instanceof GatehouseError) throw cause;
    throw tunnelError('FRAME_INVALID', { cause, details: { why: 'not a message' } });
  }
}
