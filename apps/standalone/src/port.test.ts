import { createServer, type AddressInfo } from 'node:net';

import { describe, expect, it } from 'vitest';

import { choosePort, dialAddress, explainPortError, publicAddressFor } from './port.js';

describe('addresses', () => {
  // On any other address than that of localhost, the agent of this host found nobody.
  it.each([
    ['127.0.0.1', '127.0.0.1:8443', 'localhost:8443'],
    ['localhost', 'localhost:8443', 'localhost:8443'],
    ['::1', '[::1]:8443', 'localhost:8443'],
    ['0.0.0.0', '127.0.0.1:8443', 'localhost:8443'],
    ['::', '[::1]:8443', 'localhost:8443'],
    ['127.0.0.2', '127.0.0.2:8443', '127.0.0.2:8443'],
    ['192.0.2.7', '192.0.2.7:8443', '192.0.2.7:8443'],
    ['fd00::7', '[fd00::7]:8443', '[fd00::7]:8443'],
    ['nas.lan', 'nas.lan:8443', 'nas.lan:8443'],
  ])('of a port that listens on %s', (listen, dialled, shown) => {
    expect([dialAddress(listen, 8443), publicAddressFor(listen, 8443)]).toEqual([dialled, shown]);
  });
});

describe('choosePort', () => {
  it('finds a free one, and says why the one asked for can not be had', async () => {
    const port = await choosePort({ listen: '127.0.0.1', port: 0 });
    // Not one that the system may give to another listener of this cluster meanwhile.
    expect(port).toBeGreaterThanOrEqual(20_000);
    expect(port).toBeLessThan(32_768);
    await using taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    await expect(
      choosePort({ listen: '127.0.0.1', port: (taken.address() as AddressInfo).port }),
    ).rejects.toMatchObject({ code: 'PORT_TAKEN' });
    // Addresses for documentation (RFC 5737): no machine has them.
    await expect(choosePort({ listen: '203.0.113.1', port: 0 })).rejects.toMatchObject({
      code: 'ADDRESS_UNKNOWN',
    });
  });

  // Root, whom tests often run as, may have every port.
  it('says which ports are not for everybody', () => {
    const refused = Object.assign(new Error('bind EACCES'), { code: 'EACCES' });
    expect(explainPortError(refused, { listen: '127.0.0.1', port: '443' })).toMatchObject({
      code: 'PORT_FORBIDDEN',
    });
  });
});
