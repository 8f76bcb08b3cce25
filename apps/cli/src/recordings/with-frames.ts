import { readRecording, type Frame } from '@gatehouse/recording';

import { withAudit } from '../cluster/clients.js';
import type { GlobalCall } from '../command.js';

/** Runs `use` with the frames of a recording, fetched as they are used. `id`: rec_…, or ses_… for its first recording. */
export async function withFrames(
  call: GlobalCall,
  id: string,
  use: (frames: AsyncIterable<Frame>) => Promise<void>,
): Promise<void> {
  await withAudit(call, (client) => use(readRecording(client.readRecording({ id }))));
}
