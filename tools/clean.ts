/** Removes every `dist` folder: output of deleted sources stays otherwise. */
import { globSync, rmSync } from 'node:fs';

for (const dir of globSync('{packages,packages/protocols,services,apps}/*/dist').concat(
  'e2e/dist',
  'e2e/fakes/dist',
)) {
  rmSync(dir, { recursive: true, force: true });
}
