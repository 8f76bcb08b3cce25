/**
 * A part of one side's window that the other side is not told of, so that the relay can put in messages of its own
 * without either side noticing (RFC 4254 §5.2). What is used is filled up from the next window adjustments.
 */
export class WindowReserve {
  private left = 0;
  private size = 0;

  /** @param mostBytes the reserve; a quarter of the window where that is smaller */
  constructor(private readonly mostBytes: number) {}

  /** Takes a share of a first window. Returns what the other side may be told. */
  setAside(window: number): number {
    this.size = Math.min(this.mostBytes, window >>> 2);
    this.left = this.size;
    return window - this.size;
  }

  /** Uses some of it; false when there is not enough. */
  take(bytes: number): boolean {
    if (bytes > this.left) return false;
    this.left -= bytes;
    return true;
  }

  /** A window adjustment came; OpenSSH's server gives all of its window in the first one. Returns what to pass on. */
  refill(bytes: number): number {
    this.size = Math.max(this.size, Math.min(this.mostBytes, bytes >>> 2));
    const kept = Math.min(bytes, this.size - this.left);
    this.left += kept;
    return bytes - kept;
  }
}
