import { createLogger } from '@gatehouse/kit/log';
import type { RpcConnection } from '@gatehouse/kit/rpc';
import { expect, it } from 'vitest';

import { createRegistrar } from './registrar.js';

// The report that lacked it came after its registration, and the agent was offline in lists until the next one.
it('reports again where an agent came while a report was under way, and not for one that came before', async () => {
  const reports: (readonly string[])[] = [];
  const answers: (() => void)[] = [];
  const client = () => ({
    async reportAgents({ agentIds }: { agentIds: readonly string[] }) {
      reports.push(agentIds);
      return new Promise<void>((resolve) => answers.push(resolve));
    },
  });
  const here: string[] = [];
  const registrar = createRegistrar({
    auth: { client } as unknown as Pick<RpcConnection, 'client'>,
    replicaId: 'srv_t',
    logger: createLogger({ name: 'test', level: 'silent' }),
    agentIds: () => [...here],
  });
  here.push('agt_1');
  registrar.came();
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(reports).toEqual([]);
  registrar.left();
  await expect.poll(() => reports).toEqual([['agt_1']]);
  here.push('agt_2');
  registrar.came();
  answers.shift()?.();
  await expect.poll(() => reports, { timeout: 3_000 }).toEqual([['agt_1'], ['agt_1', 'agt_2']]);
  answers.shift()?.();
  const stopped = registrar[Symbol.asyncDispose]();
  await expect.poll(() => answers.length).toBe(1);
  answers.shift()?.();
  await stopped;
});
