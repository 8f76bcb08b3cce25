/**
 * What was read is not the protocol as PostgreSQL speaks it (or more than is allowed of it). There is no way on from
 * here: where one message ends and the next begins is no longer certain. The message holds no byte of the input.
 */
export class WireError extends Error {
  override readonly name = 'WireError';
}
