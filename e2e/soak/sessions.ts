/** Sessions that stay open through a long run. */
import { loginRaw } from '@gatehouse/protocol-ssh/testing';

import type { Cluster } from '../stack/cluster.js';
import { readCredential } from '../stack/credential.js';
import type { World } from '../stack/world.js';
import { pause, target } from './soak.js';

export interface Death {
  readonly at: number;
  readonly text: string;
}

/** Sessions that last until they are ended; each that dies is begun anew. */
export async function keepSessions(world: World<Cluster>, count: number) {
  const credential = await readCredential(world.person('alice'));
  const port = Number(world.home.ready.proxyAddr.split(':')[1]);
  const deaths: Death[] = [];
  let begun = 0;
  let isOver = false;
  const keep = async () => {
    while (!isOver) {
      try {
        using session = await loginRaw({ port, userName: target, ...credential });
        await session.openSession();
        begun += 1;
        session.answerKeepalives();
        const life = session.ended().then((text) => ({ at: Date.now(), text }));
        const death = await Promise.race([life, whenOver()]);
        if (death !== undefined) deaths.push(death);
      } catch {
        await pause(0.5);
      }
    }
  };
  const over = Promise.withResolvers<undefined>();
  const whenOver = async () => over.promise;
  const running = Promise.all(Array.from({ length: count }, keep));
  return {
    begun: () => begun,
    async stop(): Promise<Death[]> {
      isOver = true;
      over.resolve(undefined);
      await running;
      return deaths;
    },
  };
}
