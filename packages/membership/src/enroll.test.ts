import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { createLogger } from '@gatehouse/kit/log';
import { TrustBundle } from '@gatehouse/proto/auth/v1/trust';
import { expect, it, onTestFinished, vi } from 'vitest';

import { storeCredentials } from './enroll.js';

it('says so and goes on where the disk takes no certificate', () => {
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-membership-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'file'), '');
  const logger = createLogger({ name: 'test', level: 'silent' });
  const error = vi.spyOn(logger, 'error');
  const trust = TrustBundle.fromPartial({});
  const secrets = { privateKeyPem: '', certificate: Buffer.alloc(0) };
  const credentials = { replicaId: 'srv_1', validUntilMs: 0, trust, ...secrets };
  storeCredentials({ stateDir: join(folder, 'file', 'state'), logger }, credentials);
  expect(error).toHaveBeenCalledOnce();
  storeCredentials({ stateDir: join(folder, 'state'), logger }, credentials);
  expect(error).toHaveBeenCalledOnce();
});
