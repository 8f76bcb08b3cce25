/** Each grant opens one connection (D20): ids that were seen, until nobody would take them any more. */

/** More than a proxy signs in the life of a grant at thousands of dials a second. */
const maxGrants = 500_000;

export interface UsedGrants {
  /** True when the id was seen before; otherwise it counts as seen from now on. */
  use(jti: string, forgetAtMs: number, nowMs: number): boolean;
}

export function createUsedGrants(limit: number = maxGrants): UsedGrants {
  const seen = new Map<string, number>();
  return {
    use(jti, forgetAtMs, nowMs) {
      const known = seen.get(jti);
      if (known !== undefined && known > nowMs) return true;
      // Entries come roughly in the order in which they end, so the oldest ones are looked at first.
      for (const [id, endsAtMs] of seen) {
        if (endsAtMs > nowMs) break;
        seen.delete(id);
      }
      // What can't be remembered can't be taken.
      if (seen.size >= limit) return true;
      seen.set(jti, forgetAtMs);
      return false;
    },
  };
}
