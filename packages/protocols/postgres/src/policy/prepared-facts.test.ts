import { expect, it } from 'vitest';

import { factsWith } from './facts.fixture.js';
import type { StatementFacts } from './facts.js';
import { PreparedFacts, preparedLimits } from './prepared-facts.js';

const table = (name: string) => ({ schema: 'public', name, isWritten: false });

// A session filled the proxy's memory with fields that no bound counted.
it.each<[string, (index: number) => Partial<StatementFacts>]>([
  ['search paths', (index) => ({ searchPath: [`${index}${'s'.repeat(100_000)}`] })],
  ['tables', (index) => ({ tables: [table(`${index}${'t'.repeat(100_000)}`)] })],
  ['names', (index) => ({ executes: `${index}${'e'.repeat(100_000)}` })],
])('has a bound in bytes for %s', (_, given) => {
  const prepared = new PreparedFacts();
  for (let index = 0; index < 500; index += 1) prepared.add(`n${index}`, factsWith(given(index)));
  const kept = Array.from({ length: 500 }, (__, index) => prepared.get(`n${index}`));
  const count = kept.filter((one) => one !== undefined).length;
  expect(count).toBeGreaterThan(30);
  expect(count * 200_000).toBeLessThan(preparedLimits.maxBytes);
});

it('does not grow where a name is given the same again and again', () => {
  const prepared = new PreparedFacts();
  const texts = ['a', 'b'].map((name) => factsWith({ tables: [table(name)], searchPath: [name] }));
  for (let index = 0; index < 2; index += 1) for (const one of texts) prepared.add('x', one);
  const { bytes } = prepared;
  for (let index = 0; index < 2_000; index += 1) for (const one of texts) prepared.add('x', one);
  expect(prepared.bytes).toBe(bytes);
  expect(prepared.get('x')).toMatchObject({
    hidesTables: false,
    tables: [table('a'), table('b')],
    searchPath: ['a', 'b'],
  });
});

// The server still has the old one and refuses the new one: EXECUTE would run what was judged as something else.
it('takes a name that comes after others were forgotten for them as well', () => {
  const prepared = new PreparedFacts({ ...preparedLimits, maxNames: 2 });
  prepared.add('early', factsWith({ tables: [table('early')] }));
  prepared.add('p', factsWith({ tables: [table('hidden')] }));
  prepared.add('a', factsWith({}));
  prepared.add('b', factsWith({}));
  expect(prepared.get('p')).toBeUndefined();
  prepared.add('p', factsWith({ tables: [table('shown')] }));
  expect(prepared.get('p')?.tables).toEqual(
    expect.arrayContaining([table('shown'), table('hidden'), table('early')]),
  );
});

// Thousands of names in one text held everybody's sessions for half a second.
it('costs of a name what that holds, however much is known', () => {
  const prepared = new PreparedFacts({ ...preparedLimits, maxNames: 2 });
  const many = Array.from({ length: 1_000 }, (_, index) => table(`t${index}`));
  for (const name of ['a', 'b', 'c']) prepared.add(name, factsWith({ tables: many }));
  let looks = 0;
  const watched = new Proxy(many, {
    get: (tables, key, receiver) => {
      looks += 1;
      return Reflect.get(tables, key, receiver) as unknown;
    },
  });
  prepared.add('d', factsWith({ tables: watched }));
  looks = 0;
  for (let index = 0; index < 100; index += 1) prepared.add('d', factsWith({}));
  for (let index = 0; index < 100; index += 1) prepared.add(`e${index}`, factsWith({}));
  expect(looks).toBeLessThan(10_000);
  expect(prepared.get('e99')?.tables).toHaveLength(1_000);
});
