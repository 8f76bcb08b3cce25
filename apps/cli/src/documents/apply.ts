/** Applies documents and says what came of it. */
import { withAdministration } from '../cluster/clients.js';
import type { GlobalCall } from '../command.js';
import { writeJson } from '../output/json.js';
import { printable } from '../output/text.js';
import { formatDiff } from './diff.js';
import { documentName, formatDocument, parseDocument, type Document } from './document.js';

/** What to apply, and whether only to try. */
export interface ApplyRequest {
  readonly documents: readonly Document[];
  readonly dryRun: boolean;
}

/** All or none. The result lines go to stdout, or to stderr where stdout holds JSON. */
export async function applyAndShow(
  call: GlobalCall,
  { documents, dryRun }: ApplyRequest,
): Promise<void> {
  const documentsJson = documents.map((document) => JSON.stringify(document));
  const { results } = await withAdministration(call, (client) =>
    client.applyDocuments({ documentsJson, dryRun }),
  );
  const { stdout, stderr } = call.environment;
  const isJson = call.options.format === 'json';
  const words = isJson ? stderr : stdout;
  const applied = results.map(({ documentJson }) => parseDocument(documentJson));
  for (const [index, { result, previousJson }] of results.entries()) {
    const document = applied[index];
    if (document === undefined) continue;
    words.write(`${printable(documentName(document))} ${result}${dryRun ? ' (dry run)' : ''}\n`);
    if (dryRun) words.write(describeChange(previousJson, document));
  }
  if (isJson) writeJson(call.environment, applied.length === 1 ? applied[0] : applied);
}

function describeChange(previousJson: string, document: Document): string {
  const before =
    previousJson === '' ? '' : formatDocument(withoutStamps(parseDocument(previousJson)));
  return formatDiff(before, formatDocument(withoutStamps(document)));
}

/** Revisions and times change with every write; they would hide what the person changed. */
function withoutStamps(document: Document): Document {
  const {
    revision: _revision,
    created_at: _created,
    updated_at: _updated,
    ...metadata
  } = document.metadata;
  return { ...document, metadata };
}
