/**
 * Cancel keys of the proxy's own (D35): clients never see those of a database. The number is 11 bits of the replica and 20
 * bits of a counter, the secret 32 bits of chance: a key of another replica can be told from one that nobody has.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

import type { BackendKey } from '../wire/backend.js';

const counterBits = 20;

/** A key that is good until it is disposed. */
export interface IssuedKey extends Disposable {
  readonly key: BackendKey;
}

export class CancelKeys {
  readonly #slot: number;
  readonly #keys = new Map<number, { readonly secret: Buffer; readonly cancel: () => void }>();
  #counter = 0;

  /** @param replica whose keys they are */
  constructor(replica: string) {
    this.#slot = createHash('sha256').update(replica).digest().readUInt16BE(0) >> 5;
  }

  /** @param cancel called when somebody shows the key */
  issue(cancel: () => void): IssuedKey {
    const processId = this.#nextNumber();
    const secret = randomBytes(4);
    this.#keys.set(processId, { secret, cancel });
    return {
      key: { processId, secret },
      [Symbol.dispose]: () => void this.#keys.delete(processId),
    };
  }

  /** Cancels what the key's session does; a key that is not good does nothing. Takes as long either way. */
  use({ processId, secret }: BackendKey): void {
    const found = this.#keys.get(processId);
    const expected = found?.secret ?? Buffer.alloc(4);
    const isRight = secret.length === expected.length && timingSafeEqual(secret, expected);
    if (found !== undefined && isRight) found.cancel();
  }

  #nextNumber(): number {
    for (;;) {
      this.#counter = (this.#counter + 1) % 2 ** counterBits;
      const processId = this.#slot * 2 ** counterBits + this.#counter;
      // 0 would be a key that clients take for none.
      if (processId !== 0 && !this.#keys.has(processId)) return processId;
    }
  }
}
