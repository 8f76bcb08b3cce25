/** Dead letters: records of the event log that could not be decoded or stored. */
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
