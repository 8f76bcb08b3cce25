/** Names of parts: the one URI SAN that says what an X.509 certificate is (D15). */
import { pending } from './pending.js';

export type ServiceKind = 'auth' | 'proxy' | 'tunnel' | 'audit';

export type PartName = { readonly cluster: string } & (
  | { readonly type: 'service'; readonly kind: ServiceKind; readonly id: string }
  | { readonly type: 'agent'; readonly id: string }
  | { readonly type: 'user'; readonly name: string }
);

/** `gatehouse://<cluster>/service/<kind>/<srv_…>`, `/agent/<agt_…>` or `/user/<name>`. @throws PART_NAME_INVALID */
export function formatPartName(part: PartName): string {
  return pending();
}

/** Reads what {@link formatPartName} writes; exactly one spelling per part. @throws PART_NAME_INVALID, reason wrong_kind */
export function parsePartName(uri: string): PartName {
  return pending();
}
