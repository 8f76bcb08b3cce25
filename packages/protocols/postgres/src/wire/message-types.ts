/** Type bytes of messages, and how long each may be (PostgreSQL §55.7). Lengths count the whole frame, head included. */

/** From the client, once the startup is over. */
export const frontendType = {
  bind: 0x42, // B
  close: 0x43, // C
  copyData: 0x64, // d
  copyDone: 0x63, // c
  copyFail: 0x66, // f
  describe: 0x44, // D
  execute: 0x45, // E
  flush: 0x48, // H
  functionCall: 0x46, // F
  parse: 0x50, // P
  query: 0x51, // Q
  sync: 0x53, // S
  terminate: 0x58, // X
} as const;

/** From the server. */
export const backendType = {
  authentication: 0x52, // R
  backendKeyData: 0x4b, // K
  bindComplete: 0x32, // 2
  closeComplete: 0x33, // 3
  commandComplete: 0x43, // C
  copyBothResponse: 0x57, // W
  copyData: 0x64, // d
  copyDone: 0x63, // c
  copyInResponse: 0x47, // G
  copyOutResponse: 0x48, // H
  dataRow: 0x44, // D
  emptyQueryResponse: 0x49, // I
  errorResponse: 0x45, // E
  functionCallResponse: 0x56, // V
  negotiateProtocolVersion: 0x76, // v
  noData: 0x6e, // n
  noticeResponse: 0x4e, // N
  notificationResponse: 0x41, // A
  parameterDescription: 0x74, // t
  parameterStatus: 0x53, // S
  parseComplete: 0x31, // 1
  portalSuspended: 0x73, // s
  readyForQuery: 0x5a, // Z
  rowDescription: 0x54, // T
} as const;

/** Bytes in front of every body: the type, then a length that counts itself but not the type. */
export const headBytes = 5;

/** A number for each type byte; 0 for those that are not named. */
export type TypeTable = Uint32Array;

/** @param rows pairs of type byte and number */
export function createTypeTable(rows: readonly (readonly [number, number])[]): TypeTable {
  const table = new Uint32Array(256);
  for (const [type, value] of rows) table[type] = value;
  return table;
}

/** A server's memory allocation ends just below 1 GiB, and so does a message. */
const largeBytes = 0x3fff_fffe + 1;
/** What a server takes of messages that hold no more than a name. */
const smallBytes = 10_000 + 1;

/** Longest frame of each type a client may send; a type not named here is none. A server has the same limits. */
export const frontendLimits: TypeTable = createTypeTable([
  [frontendType.bind, largeBytes],
  [frontendType.close, smallBytes],
  [frontendType.copyData, largeBytes],
  [frontendType.copyDone, headBytes],
  [frontendType.copyFail, smallBytes],
  [frontendType.describe, smallBytes],
  [frontendType.execute, smallBytes],
  // A server answers surplus bytes in these three with an error that belongs to nothing it was asked.
  [frontendType.flush, headBytes],
  [frontendType.functionCall, largeBytes],
  [frontendType.parse, largeBytes],
  [frontendType.query, largeBytes],
  [frontendType.sync, headBytes],
  [frontendType.terminate, headBytes],
]);

/** Longest frame of each type a server may send after AuthenticationOk; a type not named here is none. */
export const backendLimits: TypeTable = createTypeTable(
  Object.values(backendType)
    .filter((type) => type !== backendType.authentication)
    .map((type) => [type, largeBytes] as const),
);
