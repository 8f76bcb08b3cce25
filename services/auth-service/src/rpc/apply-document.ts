/** Creates or changes one document. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  ApplyDocumentRequest,
  ApplyDocumentResponse,
} from '@gatehouse/proto/auth/v1/administration_service';

import type { Context, Deps } from '../deps.js';
import { applyDocuments, type Applied } from '../documents/apply.js';
import { parseDocument } from '../documents/parse.js';
import { requirePerson } from '../users/person.js';

export const callers: readonly CallerRule[] = ['user'];

export async function handle(
  deps: Deps,
  request: ApplyDocumentRequest,
  context: Context,
): Promise<ApplyDocumentResponse> {
  const person = await requirePerson(deps, context);
  const documents = [parseDocument(request.documentJson)];
  const [applied] = await applyDocuments(deps, person, { documents, dryRun: request.dryRun });
  if (applied === undefined) throw new Error('nothing was applied');
  return encodeApplied(applied);
}

/** The answer for one document. */
export function encodeApplied({ document, result, previous }: Applied): ApplyDocumentResponse {
  const previousJson = previous === undefined ? '' : JSON.stringify(previous);
  return { documentJson: JSON.stringify(document), result, previousJson };
}
