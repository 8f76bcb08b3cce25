/** Names against globs: `*` any characters, `?` one. Case does not count. */
export function matchesGlob(glob: string, name: string): boolean {
  const pattern = RegExp.escape(glob).replaceAll('\\*', '.*').replaceAll('\\?', '.');
  return new RegExp(`^${pattern}$`, 'isu').test(name);
}
