/** What the cluster demands at login (`cluster_auth_preference`). */
import { findDocument } from '../store/documents.js';
import type { Db } from '../store/store.js';

export type SecondFactorRule = 'required' | 'optional' | 'off';

/** The one name of the one document. */
export const preferenceName = 'cluster';

export async function readSecondFactorRule(db: Db): Promise<SecondFactorRule> {
  const document = await findDocument(db, 'cluster_auth_preference', preferenceName);
  const spec = document?.body['spec'];
  const rule =
    typeof spec === 'object' && spec !== null && 'second_factor' in spec
      ? spec.second_factor
      : 'required';
  return rule === 'optional' || rule === 'off' ? rule : 'required';
}
