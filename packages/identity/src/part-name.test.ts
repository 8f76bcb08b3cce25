import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { refusal } from '../test/tools.js';
import { formatPartName, isUserName, parsePartName, type PartName } from './part-name.js';

const examples: readonly [string, PartName][] = [
  [
    'gatehouse://home/service/proxy/srv_0a1b',
    { cluster: 'home', type: 'service', kind: 'proxy', id: 'srv_0a1b' },
  ],
  ['gatehouse://home/agent/agt_0a1b', { cluster: 'home', type: 'agent', id: 'agt_0a1b' }],
  [
    'gatehouse://a.example/user/alice@example.com',
    { cluster: 'a.example', type: 'user', name: 'alice@example.com' },
  ],
  ['gatehouse://home/user/%C3%A9mile%2Fx', { cluster: 'home', type: 'user', name: 'émile/x' }],
];

describe('names of parts', () => {
  it.each(examples)('%s is written and read', (uri, part) => {
    expect(formatPartName(part)).toBe(uri);
    expect(parsePartName(uri)).toEqual(part);
  });

  it('reads back any user', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 60 }), (name) => {
        fc.pre(isUserName(name));
        const part: PartName = { cluster: 'home', type: 'user', name };
        expect(parsePartName(formatPartName(part))).toEqual(part);
      }),
    );
  });

  // Two spellings of one user would pass a check on one and a lock on the other.
  it.each([
    'gatehouse://home/user/%61lice',
    'gatehouse://home/user/%c3%a9mile',
    'gatehouse://home/user/alice%40example.com',
    'gatehouse://home/user/émile',
    'gatehouse://home/user/',
    'gatehouse://home/user/a/b',
    'gatehouse://home/user/%',
    'gatehouse://home/user/%00',
    'gatehouse://home/user/alice?x',
    'gatehouse://home/user/alice#x',
    'GATEHOUSE://home/user/alice',
    'gatehouse://HOME/user/alice',
    'gatehouse:///user/alice',
    'gatehouse://home/group/alice',
    'gatehouse://home/service/root/srv_1',
    'gatehouse://home/service/proxy/agt_1',
    'gatehouse://home/service/proxy/srv_1/x',
    'gatehouse://home/service/proxy/srv_',
    'gatehouse://home/service/proxy',
    'gatehouse://home/agent/srv_1',
    'gatehouse://home',
    'https://home/user/alice',
    `gatehouse://home/user/${'a'.repeat(2000)}`,
    '',
  ])('refuses %s', (uri) => {
    expect(refusal(() => parsePartName(uri))).toMatchObject({
      code: 'PART_NAME_INVALID',
      reason: 'wrong_kind',
    });
  });

  it('refuses to write what could not be read', () => {
    for (const part of [
      { cluster: 'a/b', type: 'user', name: 'alice' },
      { cluster: 'home', type: 'user', name: '' },
      { cluster: 'home', type: 'user', name: '\ud800' },
      { cluster: 'home', type: 'agent', id: 'agt_1/../../service/proxy/srv_1' },
    ] satisfies PartName[]) {
      expect(refusal(() => formatPartName(part))).toMatchObject({ code: 'PART_NAME_INVALID' });
    }
  });
});
