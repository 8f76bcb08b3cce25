/** Documents of a kind, in pages. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  ListDocumentsRequest,
  ListDocumentsResponse,
} from '@gatehouse/proto/auth/v1/administration_service';

import type { Context, Deps } from '../deps.js';
import { listDocumentPage } from '../documents/read.js';
import { requirePerson } from '../users/person.js';

export const callers: readonly CallerRule[] = ['user'];

export async function handle(
  deps: Deps,
  request: ListDocumentsRequest,
  context: Context,
): Promise<ListDocumentsResponse> {
  const person = await requirePerson(deps, context);
  const { documents, nextPageToken } = await listDocumentPage(deps, person, request);
  return { documentsJson: documents.map((document) => JSON.stringify(document)), nextPageToken };
}
