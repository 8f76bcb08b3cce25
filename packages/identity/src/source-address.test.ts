import { describe, expect, it } from 'vitest';

import { refusal } from '../test/tools.js';
import { checkSourceAddress, isAddressAllowed, parseClientIp } from './source-address.js';

describe('parseClientIp', () => {
  it.each([
    ['127.0.0.1', '127.0.0.1'],
    ['127.0.0.1:443', '127.0.0.1'],
    ['::1', '::1'],
    ['[::1]:443', '::1'],
    ['[::1]', '::1'],
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['[::FFFF:10.0.0.1]:1', '10.0.0.1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['localhost', undefined],
    ['localhost:443', undefined],
    ['127.0.0.1:443:443', undefined],
    ['', undefined],
  ])('reads %s as %s', (address, ip) => {
    expect(parseClientIp(address)).toBe(ip);
  });
});

describe('isAddressAllowed', () => {
  it.each([
    ['10.1.2.3', ['10.0.0.0/8'], true],
    ['10.1.2.3', ['10.1.2.3'], true],
    ['10.1.2.3', ['10.1.2.4', '10.1.2.2/31'], true],
    ['10.1.2.3', ['0.0.0.0/0'], true],
    ['10.1.2.3', ['::/0'], false],
    ['::1', ['0.0.0.0/0'], false],
    ['2001:db8::5', ['2001:0DB8:0::/32'], true],
    ['2001:db8::5', ['2001:db8:0:0:0:0:0:5'], true],
    ['10.1.2.3', [], false],
    ['10.1.2.3', ['10.0.0.0/8', 'x'], false],
    ['10.1.2.3', ['10.0.0.0/08/8'], false],
    ['10.1.2.3', ['10.0.0.0/-1'], false],
    ['10.1.2.3', ['10.0.0.0/'], false],
  ])('%s in %j: %s', (ip, ranges, allowed) => {
    expect(isAddressAllowed(ip, ranges)).toBe(allowed);
  });
});

describe('checkSourceAddress', () => {
  const identity = { v: 1, user: 'alice', roles: [], traits: {}, loginId: 'lgn_1' } as const;

  it('lets a person without a pin come from anywhere', () => {
    expect(() => checkSourceAddress(identity, undefined)).not.toThrow();
  });

  it('compares addresses, not texts', () => {
    const pinned = { ...identity, sourceIp: '2001:DB8:0::5' };
    expect(() => checkSourceAddress(pinned, '[2001:db8::5]:443')).not.toThrow();
    expect(() =>
      checkSourceAddress({ ...identity, sourceIp: '10.0.0.1' }, '::ffff:10.0.0.1'),
    ).not.toThrow();
    for (const address of ['[2001:db8::6]:443', '10.0.0.1:1', '', undefined]) {
      expect(refusal(() => checkSourceAddress(pinned, address))).toMatchObject({
        reason: 'source_ip',
      });
    }
  });
});
