/** What an event log is: named topics of keyed records, read by groups, at least once, in order per key. */

/** Topics of Gatehouse (D25). */
export const topics = {
  audit: 'gatehouse.audit.v1',
  recordings: 'gatehouse.recordings.v1',
  checkpoints: 'gatehouse.audit.checkpoints.v1',
  deadLetters: 'gatehouse.audit.dead.v1',
} as const;

/** A send holds at most so many records and bytes (D25): the broker's limit is on the batch. */
export const maxBatchRecords = 500;
export const maxBatchBytes = 700 * 1024;

/** A record as it is published. */
export interface LogRecord {
  /** Records of one key keep their order. At most 1 KiB. */
  readonly key: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly value: Buffer;
}

/** A record as it is read. */
export interface StoredRecord extends LogRecord {
  readonly topic: string;
  /** Where it lies; unique and rising within (topic, partition). */
  readonly partition: number;
  readonly position: bigint;
}

export interface SubscribeOptions {
  readonly topic: string;
  /** Members of one group share the records: each record goes to one of them. A new group begins at the oldest record. */
  readonly group: string;
  /**
   * Gets records of a partition in order; batches of two partitions may overlap. They count as read once it resolves; when
   * it rejects, the same records come again after a back-off, and nothing behind them goes ahead in their partition. The
   * signal aborts when the subscription ends.
   */
  onBatch(records: readonly StoredRecord[], signal: AbortSignal): Promise<void>;
}

/** How far a reader is behind, by what it saw at its last question: there may be more by now. */
export interface ReadLag {
  /** Records that are there and not read yet. */
  readonly records: number;
  /** For how long the oldest of them has been there, ms; 0 when there is none. */
  readonly behindMs: number;
}

/** How far a group is in one partition of a topic. Positions are counted as the log counts them: only their order means something. */
export interface Progress {
  readonly partition: number;
  /** Behind the last record. */
  readonly end: bigint;
  /** Behind the last record that the group has taken. */
  readonly taken: bigint;
}

/** A member of a group that reads; disposing it waits for the batch under way. */
export interface Subscription extends AsyncDisposable {
  /** The log itself could not be asked at the last try; what `onBatch` refuses does not count. */
  isFailing(): boolean;
  /** Of what this member reads; other members have their own. */
  lag(): ReadLag;
}

export interface EventLog extends AsyncDisposable {
  /**
   * Appends records, all or none; resolves when they are durable. Records of one call keep their order.
   * @throws EVENT_LOG_TOO_LARGE (send less, or smaller), EVENT_LOG_UNAVAILABLE and anything else: try again later
   */
  publish(topic: string, records: readonly LogRecord[]): Promise<void>;
  /** Starts reading. */
  subscribe(options: SubscribeOptions): Promise<Subscription>;
  /** How far all members of a group are together. @throws EVENT_LOG_UNAVAILABLE */
  progress(topic: string, group: string): Promise<readonly Progress[]>;
}
