/** Random numbers that are the same in every run with the same seed. */

export interface Random {
  /** A whole number from 0 to `bound` − 1. */
  below(bound: number): number;
  pick<T>(from: readonly [T, ...T[]]): T;
}

/** The sfc32 generator, seeded from a text. Not for secrets. */
export function createRandom(seed: string): Random {
  let [a, b, c, d] = mixSeed(seed);

  function next(): number {
    const sum = (a + b + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    c |= 0;
    return sum >>> 0;
  }

  for (let round = 0; round < 15; round += 1) next();
  const below = (bound: number) => Math.floor((next() / 2 ** 32) * bound);
  return { below, pick: (from) => from[below(from.length)] ?? from[0] };
}

/** FNV-1a, four times with different beginnings. */
function mixSeed(seed: string): [number, number, number, number] {
  const hash = (basis: number) => {
    let value = basis;
    for (const char of seed) value = Math.imul(value ^ (char.codePointAt(0) ?? 0), 0x01000193);
    return value | 0;
  };
  return [hash(0x811c9dc5), hash(0x9e3779b9), hash(0x85ebca6b), 1];
}
