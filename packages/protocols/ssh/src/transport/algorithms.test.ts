import { describe, expect, it } from 'vitest';

import { isLegacy, legacyTargetFacing, targetFacing } from './algorithms.js';

const way = { cipher: 'aes128-ctr', mac: 'hmac-sha2-256' };
const modern = { kex: 'curve25519-sha256', serverHostKey: 'ssh-ed25519', cs: way, sc: way };

describe('a connection to a target', () => {
  it('is none of the past by what every target is offered', () => {
    for (const kex of targetFacing.kex) expect(isLegacy({ ...modern, kex })).toBe(false);
    for (const cipher of targetFacing.ciphers)
      for (const mac of [...targetFacing.macs, ''])
        expect(isLegacy({ ...modern, cs: { cipher, mac } })).toBe(false);
    for (const serverHostKey of ['rsa-sha2-512', 'rsa-sha2-512-cert-v01@openssh.com'])
      expect(isLegacy({ ...modern, serverHostKey })).toBe(false);
  });

  it('is one of the past by any single name beyond that, in either direction', () => {
    const more = (list: keyof typeof targetFacing) =>
      legacyTargetFacing[list].filter((name) => !targetFacing[list].includes(name));
    const cases = [
      { serverHostKey: 'ssh-rsa' },
      ...more('kex').map((kex) => ({ kex })),
      ...more('ciphers').map((cipher) => ({ cs: { ...way, cipher } })),
      ...more('macs').map((mac) => ({ sc: { ...way, mac } })),
    ];
    expect(cases).toHaveLength(9);
    for (const one of cases)
      expect(isLegacy({ ...modern, ...one }), JSON.stringify(one)).toBe(true);
  });
});
