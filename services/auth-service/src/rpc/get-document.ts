/** One document. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  GetDocumentRequest,
  GetDocumentResponse,
} from '@gatehouse/proto/auth/v1/administration_service';

import type { Context, Deps } from '../deps.js';
import { getDocument } from '../documents/read.js';
import { requirePerson } from '../users/person.js';

export const callers: readonly CallerRule[] = ['user'];

export async function handle(
  deps: Deps,
  request: GetDocumentRequest,
  context: Context,
): Promise<GetDocumentResponse> {
  const person = await requirePerson(deps, context);
  return { documentJson: JSON.stringify(await getDocument(deps, person, request)) };
}
