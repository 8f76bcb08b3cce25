/** Creates or changes several documents, all or none. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  ApplyDocumentsRequest,
  ApplyDocumentsResponse,
} from '@gatehouse/proto/auth/v1/administration_service';

import type { Context, Deps } from '../deps.js';
import { applyDocuments } from '../documents/apply.js';
import { parseDocument } from '../documents/parse.js';
import { authError } from '../errors.js';
import { requirePerson } from '../users/person.js';
import { encodeApplied } from './apply-document.js';

const maxDocuments = 500;

export const callers: readonly CallerRule[] = ['user'];

export async function handle(
  deps: Deps,
  request: ApplyDocumentsRequest,
  context: Context,
): Promise<ApplyDocumentsResponse> {
  const person = await requirePerson(deps, context);
  if (request.documentsJson.length > maxDocuments) {
    const problems = `more than ${maxDocuments} documents at once`;
    throw authError('DOCUMENT_INVALID', { details: { problems } });
  }
  const documents = request.documentsJson.map(parseDocument);
  const applied = await applyDocuments(deps, person, { documents, dryRun: request.dryRun });
  return { results: applied.map(encodeApplied) };
}
