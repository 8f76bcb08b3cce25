/** Which errors of the database say that the data, and not the database, is at fault. */

/** SQLSTATE classes 22 (data), 23 (constraint) and 54 (limit): the same data again will fail again. */
export function isFaultOfData(thrown: unknown): boolean {
  return /^(22|23|54)/.test(sqlState(thrown));
}

/** The SQLSTATE of an error of the database, else an empty text. */
export function sqlState(thrown: unknown): string {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string'
    ? thrown.code
    : '';
}
