/** The part of SSH's first key exchange that goes in clear (RFC 4253 §7), written by hand: no library sends it wrongly. */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { connect } from 'node:net';

import {
  encodeFields,
  encodeMessage,
  messageType,
  WireReader,
} from '@gatehouse/protocol-ssh/testing';

export interface ClearHandshake {
  readonly port: number;
  readonly kex: readonly string[];
  readonly ciphers?: readonly string[];
  readonly macs?: readonly string[];
  /** Sends an IGNORE between KEXINIT and the client's half of the key exchange. */
  readonly ignoreBetween?: boolean;
}

export interface ClearAnswer {
  /** The server answered the key exchange: host key and signature came. */
  readonly isAnswered: boolean;
  /** Text of its DISCONNECT. */
  readonly text: string;
  /** Name lists of its KEXINIT in the order of RFC 4253 §7.1, beginning with the key exchange methods. */
  readonly offered: readonly (readonly string[])[];
}

export const strictMarker = 'kex-strict-c-v00@openssh.com';
export const kexMethod = 'curve25519-sha256';

const message = { kexInit: 20, ecdhInit: 30, ecdhReply: 31 };
const deadlineMs = 20_000;

/** Plays the client until the server has answered, refused or closed. */
export async function shakeHandsInClear(options: ClearHandshake): Promise<ClearAnswer> {
  const socket = connect({ port: options.port, host: '127.0.0.1', noDelay: true });
  socket.on('error', () => undefined);
  socket.setTimeout(deadlineMs, () => socket.destroy(new Error('no answer')));
  socket.write('SSH-2.0-byhand_1.0\r\n');
  socket.write(packetOf(kexInitOf(options)));
  if (options.ignoreBetween === true)
    socket.write(packetOf(encodeMessage(messageType.ignore, 'nothing')));
  socket.write(packetOf(encodeMessage(message.ecdhInit, publicShare())));
  let answer: ClearAnswer = { isAnswered: false, text: '', offered: [] };
  let waiting = Buffer.alloc(0);
  let isGreeted = false;
  try {
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      waiting = Buffer.concat([waiting, chunk]);
      if (!isGreeted) {
        const end = waiting.indexOf('\n');
        if (end === -1) continue;
        isGreeted = true;
        waiting = waiting.subarray(end + 1);
      }
      for (;;) {
        const length = waiting.length < 4 ? Infinity : 4 + waiting.readUInt32BE(0);
        if (waiting.length < length) break;
        answer = read(answer, waiting.subarray(5, length - (waiting[4] ?? 0)));
        waiting = waiting.subarray(length);
        if (answer.isAnswered || answer.text !== '') return answer;
      }
    }
    return answer;
  } finally {
    socket.destroy();
  }
}

function read(answer: ClearAnswer, payload: Buffer): ClearAnswer {
  if (payload[0] === message.ecdhReply) return { ...answer, isAnswered: true };
  if (payload[0] === messageType.disconnect)
    return { ...answer, text: new WireReader(payload, 5).text(4096) };
  if (payload[0] !== message.kexInit) return answer;
  const reader = new WireReader(payload, 17);
  return { ...answer, offered: Array.from({ length: 8 }, () => reader.text(4096).split(',')) };
}

function kexInitOf({ kex, ciphers, macs }: ClearHandshake): Buffer {
  const hostKeys = ['ssh-ed25519-cert-v01@openssh.com', 'ecdsa-sha2-nistp256-cert-v01@openssh.com'];
  const both = (names: readonly string[]) => [names.join(','), names.join(',')];
  const lists = [
    kex.join(','),
    hostKeys.join(','),
    ...both(ciphers ?? ['aes128-ctr']),
    ...both(macs ?? ['hmac-sha2-256-etm@openssh.com']),
    ...both(['none']),
    ...both([]),
  ];
  return Buffer.concat([
    Buffer.of(message.kexInit),
    randomBytes(16),
    encodeFields(...lists, false, 0),
  ]);
}

/** A fresh X25519 key's public half (RFC 8731 §3). */
function publicShare(): Buffer {
  const { publicKey } = generateKeyPairSync('x25519');
  return publicKey.export({ type: 'spki', format: 'der' }).subarray(-32);
}

/** An unencrypted packet (RFC 4253 §6). */
function packetOf(payload: Buffer): Buffer {
  const padding = 16 - ((5 + payload.length) % 8);
  const head = encodeFields(1 + payload.length + padding);
  return Buffer.concat([head, Buffer.of(padding), payload, Buffer.alloc(padding)]);
}
