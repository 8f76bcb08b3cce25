/** A refusal in this protocol's own words. */
import type { GatehouseError } from '@gatehouse/kit/errors';

export function encodeRefusal(error: Pick<GatehouseError, 'publicMessage'>): string {
  return `-ERR ${error.publicMessage}\n`;
}
