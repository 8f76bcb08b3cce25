/** Patterns of `db_tables`: `schema.table`, either part with `*` for any text, exact otherwise. */
import { isSystemSchema } from './catalogs.js';

/**
 * Does one of the patterns allow the name? `*` and the like in a schema's place do not stand for schemas of the server
 * (`pg_catalog`, `pg_temp`, `information_schema`); those are allowed by name.
 */
export function isAllowedTable(patterns: readonly string[], schema: string, name: string): boolean {
  return patterns.some((pattern) => {
    const [schemaPattern, namePattern] = splitPattern(pattern);
    if (isSystemSchema(schema) && schemaPattern !== schema) return false;
    return matchesPart(schemaPattern, schema) && matchesPart(namePattern, name);
  });
}

/** Does one of the patterns deny the name? One without a schema may be in any. */
export function isDeniedTable(
  patterns: readonly string[],
  schema: string | undefined,
  name: string,
): boolean {
  return patterns.some((pattern) => {
    const [schemaPattern, namePattern] = splitPattern(pattern);
    const isSchema = schema === undefined || matchesPart(schemaPattern, schema);
    return isSchema && matchesPart(namePattern, name);
  });
}

function splitPattern(pattern: string): [string, string] {
  const dot = pattern.indexOf('.');
  return [pattern.slice(0, dot), pattern.slice(dot + 1)];
}

/** Takes the first place for each piece between stars, so the work is bounded by the product of both lengths. */
function matchesPart(pattern: string, text: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop();
  if (last === undefined) return text === first;
  if (!text.startsWith(first)) return false;
  let at = first.length;
  for (const piece of rest) {
    const found = text.indexOf(piece, at);
    if (found === -1) return false;
    at = found + piece.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
}
