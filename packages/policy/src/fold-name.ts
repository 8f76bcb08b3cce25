/**
 * The form in which names of documents, people, agents and targets are compared (SSH-17): two names with the same form are
 * the same name.
 */
export function foldName(name: string): string {
  return name.normalize('NFKC').toLowerCase().normalize('NFKC');
}
