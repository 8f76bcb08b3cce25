/** Dead letters: records of the event log that could not be decoded or stored. */
import { GatehouseError } from '@gatehouse/kit/errors';
import type { AuditServiceClient, DeadLetter } from '@gatehouse/proto/audit/v1/audit_service';

const pageSize = 500;

/** Oldest first, at most so many. */
export async function listDeadLetters(
  client: AuditServiceClient,
  { withReplayed, limit }: { withReplayed: boolean; limit: number },
): Promise<DeadLetter[]> {
  const found: DeadLetter[] = [];
  let pageToken = '';
  do {
    const page = await client.listDeadLetters({
      withReplayed,
      limit: Math.min(limit - found.length, pageSize),
      pageToken,
    });
    found.push(...page.deadLetters);
    pageToken = page.nextPageToken;
  } while (pageToken !== '' && found.length < limit);
  return found;
}

export interface Replayed {
  readonly replayed: readonly string[];
  /** Those that can't be put back, now or ever. */
  readonly refused: readonly { readonly id: string; readonly error: GatehouseError }[];
}

/** Puts them back one after another; one that is not kept whole, or not any more, holds up none behind it. */
export async function replayDeadLetters(
  client: Pick<AuditServiceClient, 'replayDeadLetter'>,
  ids: readonly string[],
  onReplayed: () => void,
): Promise<Replayed> {
  const replayed: string[] = [];
  const refused: { id: string; error: GatehouseError }[] = [];
  for (const id of ids) {
    try {
      await client.replayDeadLetter({ id });
      replayed.push(id);
      onReplayed();
    } catch (thrown) {
      if (!isOfOneLetter(thrown)) throw thrown;
      refused.push({ id, error: thrown });
    }
  }
  return { replayed, refused };
}

function isOfOneLetter(thrown: unknown): thrown is GatehouseError {
  const codes = ['DEAD_LETTER_CUT', 'DEAD_LETTER_UNKNOWN'];
  return thrown instanceof GatehouseError && codes.includes(thrown.code);
}
