/**
 * Cancel keys of the proxy's own (D35): clients never see those of a database. The number is 11 bits of the replica and 20
 * bits of a counter, the secret 32 bits of chance. Replicas may share the 11 bits: whose a key is, its secret says.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

import type { ProxyReplicas } from '@gatehouse/protocol-api';

import { postgresError } from '../errors.js';
import type { BackendKey } from '../wire/backend.js';

const counterBits = 20;
const secretBytes = 4;
const topic = 'postgres.cancel';
/** Keys of other replicas that are passed on. */
const maxToldPerSecond = 50;

/** A key that is good until it is disposed. */
export interface IssuedKey extends Disposable {
  readonly key: BackendKey;
}

export class CancelKeys {
  readonly #slot: number;
  readonly #keys = new Map<number, { readonly secret: Buffer; readonly cancel: () => void }>();
  #counter = 0;
  #told = { second: 0, count: 0 };

  readonly #replicas: ProxyReplicas;

  /** @param replicaId whose keys they are */
  constructor({
    replicaId,
    replicas,
  }: {
    readonly replicaId: string;
    readonly replicas: ProxyReplicas;
  }) {
    this.#slot = createHash('sha256').update(replicaId).digest().readUInt16BE(0) >> 5;
    this.#replicas = replicas;
    replicas.onTold(topic, (content) => {
      if (content.length === 4 + secretBytes) void this.#useOwn(decodeKey(content));
    });
  }

  /** @param cancel called when somebody shows the key */
  issue(cancel: () => void): IssuedKey {
    const processId = this.#nextNumber();
    const secret = randomBytes(secretBytes);
    this.#keys.set(processId, { secret, cancel });
    return {
      key: { processId, secret },
      [Symbol.dispose]: () => void this.#keys.delete(processId),
    };
  }

  /** Cancels what the key's session does, here or at the replica whose key it is; one that is not good does nothing. */
  use(key: BackendKey): void {
    if (this.#useOwn(key) || key.secret.length !== secretBytes || !this.#mayTell()) return;
    this.#replicas.tell(topic, encodeKey(key));
  }

  /** Nobody has proven anything who shows a key. */
  #mayTell(): boolean {
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#told.second) this.#told = { second, count: 0 };
    this.#told.count += 1;
    return this.#told.count <= maxToldPerSecond;
  }

  /** True where it was good. Takes as long whether it is or not. */
  #useOwn({ processId, secret }: BackendKey): boolean {
    const found = this.#keys.get(processId);
    const expected = found?.secret ?? Buffer.alloc(secretBytes);
    const isRight = secret.length === expected.length && timingSafeEqual(secret, expected);
    if (found === undefined || !isRight) return false;
    found.cancel();
    return true;
  }

  #nextNumber(): number {
    for (let tries = 0; tries < 2 ** counterBits; tries += 1) {
      this.#counter = (this.#counter + 1) % 2 ** counterBits;
      const processId = this.#slot * 2 ** counterBits + this.#counter;
      // 0 would be a key that clients take for none.
      if (processId !== 0 && !this.#keys.has(processId)) return processId;
    }
    throw postgresError('POSTGRES_TOO_MANY', { reason: 'too_many' });
  }
}

function encodeKey({ processId, secret }: BackendKey): Buffer {
  const head = Buffer.alloc(4);
  head.writeInt32BE(processId);
  return Buffer.concat([head, secret]);
}

function decodeKey(bytes: Buffer): BackendKey {
  return { processId: bytes.readInt32BE(0), secret: bytes.subarray(4) };
}
