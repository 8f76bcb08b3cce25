/** auth-service signs its own certificate (D17) and renews it at half life; both listeners show it. */
import { derToPem, generateKeyPair } from '@gatehouse/identity';
import { sleep } from '@gatehouse/kit/clock';
import { runInBackground } from '@gatehouse/kit/lifecycle';
import type { TlsMaterial } from '@gatehouse/kit/rpc';

import { issueServiceCertificate } from './certificates/part-certificates.js';
import type { Deps } from './deps.js';

export interface OwnCertificate extends AsyncDisposable {
  tls(): TlsMaterial;
  isExpired(): boolean;
  /** Called after each renewal and each change of the trusted keys. */
  onChange(listener: (tls: TlsMaterial) => void): void;
  /** After the trusted keys have changed. */
  refresh(): Promise<void>;
}

const retryMs = 60_000;

export async function createOwnCertificate(deps: Deps): Promise<OwnCertificate> {
  const stop = new AbortController();
  const listeners: ((tls: TlsMaterial) => void)[] = [];
  let current = await issue(deps);
  const refresh = async () => {
    current = await issue(deps);
    for (const listener of listeners) listener(current.tls);
  };
  const loop = async () => {
    let failed = false;
    while (!stop.signal.aborted) {
      const leftMs = current.validUntilMs - deps.clock.now();
      await sleep(
        failed ? retryMs : Math.min(Math.max(leftMs / 2, retryMs), 2 ** 31 - 1),
        stop.signal,
      ).catch(() => undefined);
      if (stop.signal.aborted) return;
      try {
        await refresh();
        failed = false;
      } catch (thrown) {
        failed = true;
        deps.logger.error({ err: thrown }, 'own certificate was not renewed');
      }
    }
  };
  runInBackground(loop, deps.logger, 'renewal of the own certificate stopped');
  return {
    tls: () => current.tls,
    isExpired: () => current.validUntilMs <= deps.clock.now(),
    onChange: (listener) => void listeners.push(listener),
    refresh,
    async [Symbol.asyncDispose]() {
      stop.abort();
    },
  };
}

async function issue(deps: Deps): Promise<{ tls: TlsMaterial; validUntilMs: number }> {
  const keys = generateKeyPair('p256');
  const { config, replicaId } = deps;
  const request = {
    kind: 'auth' as const,
    id: replicaId,
    publicKey: keys.spki,
    names: config.dns_names,
  };
  const { certificate, validUntil } = await issueServiceCertificate(deps, request);
  const trust = deps.authorities.trust();
  const clientCa = [...trust.hostTlsCa, ...trust.userTlsCa]
    .map((der) => derToPem(der, 'CERTIFICATE'))
    .join('');
  const tls = {
    key: keys.privateKeyPem,
    certificate: derToPem(certificate, 'CERTIFICATE'),
    clientCa,
  };
  return { tls, validUntilMs: validUntil.getTime() };
}
