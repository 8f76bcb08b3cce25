/** Removes a document. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  DeleteDocumentRequest,
  DeleteDocumentResponse,
} from '@gatehouse/proto/auth/v1/administration_service';

import type { Context, Deps } from '../deps.js';
import { deleteDocument } from '../documents/remove.js';
import { requirePerson } from '../users/person.js';

export const callers: readonly CallerRule[] = ['user'];

export async function handle(
  deps: Deps,
  request: DeleteDocumentRequest,
  context: Context,
): Promise<DeleteDocumentResponse> {
  const person = await requirePerson(deps, context);
  await deleteDocument(deps, person, request);
  return {};
}
