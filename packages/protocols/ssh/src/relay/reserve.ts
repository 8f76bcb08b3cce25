/**
 * A part of one side's window that the other side is not told of, so that the relay can put in messages of its own
 * without either side noticing (RFC 4254 §5.2). What is used is filled up from the next window adjustments.
 */
export class WindowReserve {
  private left = 0;
  private size = 0;

  /** Takes a share of a first window. Returns what the other side may be told. */
  setAside(window: number, mostBytes: number): number {
    this.size = Math.min(mostBytes, window >>> 2);
    this.left = this.size;
    return window - this.size;
  }

  /** Uses some of it; false when there is not enough. */
  take(bytes: number): boolean {
    if (bytes > this.left) return false;
    this.left -= bytes;
    return true;
  }

  /** A window adjustment came. Returns what of it to pass on. */
  refill(bytes: number): number {
    const kept = Math.min(bytes, this.size - this.left);
    this.left += kept;
    return bytes - kept;
  }
}
