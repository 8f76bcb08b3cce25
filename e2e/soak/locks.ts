/** How long a lock takes to end sessions on every proxy. */
import { loginRaw } from '@gatehouse/protocol-ssh/testing';

import { readCredential } from '../stack/credential.js';
import { eventually } from '../stack/run.js';
import { createSoakWorld, target, type Soak } from './soak.js';

export const locksSoak: Soak = {
  name: 'locks',
  summary: 'a lock against sessions on both proxies, --count (20) rounds',
  async run({ count = 20, say }) {
    await using world = await createSoakWorld();
    const credential = await readCredential(world.person('alice'));
    const ports = world.home.ready.proxies.map((address) => Number(address.split(':')[1]));
    const taken: number[] = [];
    const faults: string[] = [];
    for (let round = 1; round <= count; round += 1) {
      const sessions = await Promise.all(
        ports.map(async (port) =>
          eventually(
            'a session',
            async () => {
              const session = await loginRaw({ port, userName: target, ...credential });
              await session.openSession();
              return session;
            },
            20_000,
          ),
        ),
      );
      let commanded = 0;
      const ends = Promise.all(
        sessions.map(async (session) => {
          const text = await session.ended();
          if (!text.includes('locked')) faults.push(`round ${round}: ${text}`);
          return performance.now();
        }),
      );
      const made = await world.ada.json<{ metadata: { name: string } }>([
        'lock',
        '--user',
        'alice',
        '--message',
        `round ${round}`,
      ]);
      commanded = performance.now();
      const ended = await ends;
      // The command's own answer travels beside the news: an end that came before it counts as none at all.
      taken.push(Math.max(0, ...ended.map((at) => at - commanded)));
      const removed = await world.ada.gate(['delete', `lock/${made.metadata.name}`]);
      if (removed.code !== 0) faults.push(removed.stderr);
    }
    const sorted = taken.toSorted((a, b) => a - b);
    const at = (part: number) => Math.round(sorted[Math.floor(sorted.length * part)] ?? 0);
    say(
      `${count} rounds, ${ports.length} proxies: from the answer of \`gate lock\` to the last session's end ` +
        `p50 ${at(0.5)} ms, worst ${Math.round(sorted.at(-1) ?? 0)} ms`,
    );
    if ((sorted.at(-1) ?? 0) > 1_000) faults.push('a lock took more than a second');
    return faults;
  },
};
