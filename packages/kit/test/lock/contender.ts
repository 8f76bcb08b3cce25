/** Takes the lock of each folder named, one every `STEP_MS` from the time on that stdin says: `contender.ts STEP_MS FOLDER…` */
import { once } from 'node:events';
import { join } from 'node:path';

import { takeLock } from '../../src/lifecycle/lock.js';

const [, , stepMs = '', ...folders] = process.argv;
process.stdout.write('ready ');
const [firstAt] = (await once(process.stdin, 'data')) as [Buffer];
for (const [round, folder] of folders.entries()) {
  const at = Number(firstAt) + round * Number(stepMs);
  while (Date.now() < at);
  let isHeld = true;
  try {
    takeLock(join(folder, 'lock'), () => new Error('in use'));
  } catch (thrown) {
    if (!(thrown instanceof Error && thrown.message === 'in use')) throw thrown;
    isHeld = false;
  }
  process.stdout.write(isHeld ? '1' : '0');
}
// Stdin stays open: whoever holds a lock lives until everybody has tried.
