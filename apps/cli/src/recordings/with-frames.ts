import type { ReadRecordingResponse } from '@gatehouse/proto/audit/v1/audit_service';
import { readRecording, type Frame } from '@gatehouse/recording';

import { withAudit } from '../cluster/clients.js';
import type { GlobalCall } from '../command.js';

/**
 * Runs `use` with the frames of a recording, fetched as they are used; says on stderr where its end is missing.
 * `id`: rec_…, or ses_… for its first recording.
 */
export async function withFrames(
  call: GlobalCall,
  id: string,
  use: (frames: AsyncIterable<Frame>) => Promise<void>,
): Promise<void> {
  let isPartial = false;
  async function* wholeChunks(messages: AsyncIterable<ReadRecordingResponse>) {
    for await (const message of messages) {
      if (message.partial) isPartial = true;
      else yield message;
    }
  }
  await withAudit(call, (client) => use(readRecording(wholeChunks(client.readRecording({ id })))));
  if (isPartial)
    call.environment.stderr.write(
      'gate: the recording ends here, but is not complete: the rest is not stored yet, or was lost\n',
    );
}
