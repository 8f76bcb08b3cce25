import { GatehouseError } from '@gatehouse/kit/errors';
import { expect, it } from 'vitest';

import { replayDeadLetters } from './dead-letters.js';

const client = (refusals: Readonly<Record<string, string>>) => ({
  replayDeadLetter: async ({ id = '' }: { id?: string }) => {
    const code = refusals[id];
    if (code !== undefined) throw new GatehouseError('failed_precondition', code, code);
    return Promise.resolve({});
  },
});

it('puts back what lies behind a dead letter that can never go back', async () => {
  const { replayed, refused } = await replayDeadLetters(
    client({ a: 'DEAD_LETTER_CUT', c: 'DEAD_LETTER_UNKNOWN' }),
    ['a', 'b', 'c', 'd'],
    () => undefined,
  );
  expect(replayed).toEqual(['b', 'd']);
  expect(refused.map(({ id, error }) => [id, error.code])).toEqual([
    ['a', 'DEAD_LETTER_CUT'],
    ['c', 'DEAD_LETTER_UNKNOWN'],
  ]);
});

it('stops where the next ones would be refused, too', async () => {
  const replaying = replayDeadLetters(client({ a: 'AUDIT_DENIED' }), ['a', 'b'], () => undefined);
  await expect(replaying).rejects.toMatchObject({ code: 'AUDIT_DENIED' });
});
