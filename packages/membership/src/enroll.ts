/** A service's certificate: asked for with its join secret (D17), kept on disk for a start while auth-service is away. */
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import {
  computeEnrollmentMac,
  generateKeyPair,
  isMacEqual,
  type ServiceKind,
} from '@gatehouse/identity';
import { backoffMs, sleep, type Clock } from '@gatehouse/kit/clock';
import type { Secret } from '@gatehouse/kit/config';
import { GatehouseError } from '@gatehouse/kit/errors';
import { createId } from '@gatehouse/kit/ids';
import type { Logger } from '@gatehouse/kit/log';
import { createRpcConnection } from '@gatehouse/kit/rpc';
import { EnrollmentServiceDefinition } from '@gatehouse/proto/auth/v1/enrollment_service';
import { TrustBundle } from '@gatehouse/proto/auth/v1/trust';
import { z } from 'zod';

import { membershipError } from './errors.js';

export interface JoinOptions {
  readonly kind: Exclude<ServiceKind, 'auth'>;
  readonly clusterName: string;
  /** `host:port` of auth-service's internal listener, or those of its replicas. */
  readonly authAddress: string | readonly string[];
  readonly joinSecret: Secret;
  /** Where the certificate is kept (0600) for a start while auth-service is away. */
  readonly stateDir: string;
  /** Names under which this service is reached; they stand in its certificate. */
  readonly dnsNames: readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** Gives up waiting for auth-service. */
  readonly signal?: AbortSignal;
}

/** What a service proves itself with. */
export interface Credentials {
  readonly replicaId: string;
  readonly privateKeyPem: string;
  readonly certificate: Buffer;
  readonly validUntilMs: number;
  readonly trust: TrustBundle;
}

/** The first certificate of this start; waits for auth-service. @throws ENROLLMENT_REFUSED */
export async function obtainCredentials(options: JoinOptions): Promise<Credentials> {
  const stored = loadCredentials(options);
  for (let attempt = 0; ; attempt += 1) {
    try {
      const fresh = await enroll(options, createId('srv'));
      storeCredentials(options, fresh);
      return fresh;
    } catch (thrown) {
      if (thrown instanceof GatehouseError && thrown.kind !== 'unavailable') throw thrown;
      if (stored !== undefined && attempt > 1) {
        options.logger.warn(
          { err: thrown },
          'auth-service is away; starting with the kept certificate',
        );
        return stored;
      }
      if (attempt === 3) options.logger.warn({ err: thrown }, 'waiting for auth-service');
    }
    await sleep(100 + backoffMs(attempt, { baseMs: 100, capMs: 2_000 }), options.signal);
  }
}

/** One certificate for `replicaId`. @throws ENROLLMENT_REFUSED, or unavailable */
export async function enroll(options: JoinOptions, replicaId: string): Promise<Credentials> {
  const { kind, joinSecret, dnsNames } = options;
  const secret = Buffer.from(joinSecret.reveal());
  const keys = generateKeyPair('p256');
  const nonce = randomBytes(32);
  const texts = [kind, replicaId].map((text) => Buffer.from(text));
  const parts = [...texts, keys.spki, ...dnsNames.map((name) => Buffer.from(name)), nonce];
  const mac = computeEnrollmentMac(secret, 'gatehouse-enroll-request-v1', parts);
  // Nobody is trusted yet: the MAC of the reply is what proves auth-service.
  using connection = createRpcConnection({
    address: options.authAddress,
    tls: { serverCa: undefined },
    serverName: `auth.${options.clusterName}.gatehouse.internal`,
    verifyServer: () => undefined,
    timeoutMs: 5_000,
  });
  const reply = await connection
    .client(EnrollmentServiceDefinition)
    .enrollService({ kind, replicaId, publicKey: keys.spki, dnsNames: [...dnsNames], nonce, mac });
  const expected = computeEnrollmentMac(secret, 'gatehouse-enroll-reply-v1', [
    nonce,
    reply.certificate,
    reply.trustEncoded,
  ]);
  if (!isMacEqual(expected, reply.mac)) {
    throw membershipError('ENROLLMENT_REFUSED', {
      details: { why: 'its answer does not prove the join secret' },
    });
  }
  return {
    replicaId,
    privateKeyPem: keys.privateKeyPem,
    certificate: reply.certificate,
    validUntilMs: reply.validUntil?.getTime() ?? options.clock.now(),
    trust: TrustBundle.decode(reply.trustEncoded),
  };
}

const storedSchema = z.object({
  replicaId: z.string(),
  privateKeyPem: z.string(),
  certificate: z.string(),
  validUntilMs: z.number(),
  trust: z.string(),
});

function credentialsFile(options: Pick<JoinOptions, 'stateDir'>): string {
  return join(options.stateDir, 'service-certificate.json');
}

/**
 * Keeps credentials, 0600, whole or not at all. Never throws: a disk that refuses may cost a later start its certificate,
 * never this one its connections.
 */
export function storeCredentials(
  options: Pick<JoinOptions, 'stateDir' | 'logger'>,
  credentials: Credentials,
): void {
  try {
    writeCredentials(credentialsFile(options), credentials);
  } catch (thrown) {
    options.logger.error({ err: thrown }, 'certificate could not be kept on the disk');
  }
}

function writeCredentials(file: string, credentials: Credentials): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const stored: z.input<typeof storedSchema> = {
    ...credentials,
    certificate: credentials.certificate.toString('base64'),
    trust: Buffer.from(TrustBundle.encode(credentials.trust).finish()).toString('base64'),
  };
  writeFileSync(`${file}.new`, JSON.stringify(stored), { mode: 0o600 });
  chmodSync(`${file}.new`, 0o600);
  renameSync(`${file}.new`, file);
}

function loadCredentials(options: JoinOptions): Credentials | undefined {
  try {
    const stored = storedSchema.parse(JSON.parse(readFileSync(credentialsFile(options), 'utf8')));
    if (stored.validUntilMs <= options.clock.now()) return undefined;
    return {
      ...stored,
      certificate: Buffer.from(stored.certificate, 'base64'),
      trust: TrustBundle.decode(Buffer.from(stored.trust, 'base64')),
    };
  } catch {
    return undefined;
  }
}
