/**
 * True where one of an agent's `dynamic` globs (D32) allows a document's name: `*` any characters, `?` one; case does not
 * count. No glob allows nothing.
 */
export function allowsDynamicName(globs: readonly string[], name: string): boolean {
  return globs.some((glob) => {
    // A star next to a star says no more than one, and would cost time squared.
    const pattern = RegExp.escape(glob)
      .replace(/(\\\*)+/g, '.*')
      .replaceAll('\\?', '.');
    return new RegExp(`^${pattern}$`, 'isu').test(name);
  });
}
