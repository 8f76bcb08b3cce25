/** What a recording is made of. */

/** The first record of a recording. */
export interface RecordingHeader {
  readonly version: 1;
  readonly columns: number;
  readonly rows: number;
  readonly command?: string;
  /** ms since the epoch at which the recording began. */
  readonly startedAtMs: number;
}

/** One thing that happened, `ms` after the recording began. */
export type Frame =
  | { readonly kind: 'output' | 'input'; readonly ms: number; readonly bytes: Buffer }
  | {
      readonly kind: 'resize';
      readonly ms: number;
      readonly columns: number;
      readonly rows: number;
    }
  | { readonly kind: 'marker'; readonly ms: number; readonly label: string };
