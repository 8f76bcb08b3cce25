/** The event log as services' configurations name it. */
import { readFileSync } from 'node:fs';

import { z } from 'zod';

import type { Clock } from '../clock/clock.js';
import { hostPort, readSecretFile } from '../config/config.js';
import type { Logger } from '../log/log.js';
import type { KafkaConnection } from './kafka/connection.js';
import { createKafkaEventLog } from './kafka/kafka.js';
import type { EventLog } from './types.js';

const kafkaSchema = z.strictObject({
  type: z.literal('kafka'),
  /** Some brokers, `host:port`; the others are found through them. */
  brokers: z.array(hostPort).min(1),
  /** Without it the connection is in clear. `{}`: the public authorities, no certificate of one's own. */
  tls: z
    .strictObject({
      /** Authorities of the brokers, PEM. */
      ca_file: z.string().optional(),
      /** One's own certificate and key, PEM. */
      cert_file: z.string().optional(),
      key_file: z.string().optional(),
    })
    .refine(
      ({ cert_file, key_file }) => (cert_file === undefined) === (key_file === undefined),
      'set cert_file and key_file together',
    )
    .optional(),
  sasl: z
    .strictObject({
      mechanism: z.enum(['scram-sha-512', 'scram-sha-256', 'plain']).default('scram-sha-512'),
      username: z.string().min(1),
      password_file: z.string(),
    })
    .optional(),
});

/** `{type: embedded}`: the log of the process that holds all services; `{type: kafka, brokers: […]}`: a cluster's. */
export const eventLogSchema = z
  .discriminatedUnion('type', [z.strictObject({ type: z.literal('embedded') }), kafkaSchema])
  .default({ type: 'embedded' });

export type EventLogConfig = z.output<typeof eventLogSchema>;

export interface OpenEventLogDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Shown at the brokers: `gatehouse-proxy`, … */
  readonly clientId: string;
}

/** Opens a log that lies outside this process; undefined where there is none. @throws where one of its files can't be read */
export function openEventLog(config: EventLogConfig, deps: OpenEventLogDeps): EventLog | undefined {
  const connection = readKafkaConnection(config, deps);
  return connection && createKafkaEventLog({ ...connection, clock: deps.clock });
}

/** How its brokers are reached; undefined where it has none. @throws where one of its files can't be read */
export function readKafkaConnection(
  config: EventLogConfig,
  { clientId, logger }: Pick<OpenEventLogDeps, 'clientId' | 'logger'>,
): KafkaConnection | undefined {
  if (config.type === 'embedded') return undefined;
  const { brokers, tls, sasl } = config;
  return {
    brokers,
    clientId,
    logger,
    ...(tls && {
      tls: {
        ...(tls.ca_file !== undefined && { ca: readFileSync(tls.ca_file, 'utf8') }),
        ...(tls.cert_file !== undefined && { certificate: readFileSync(tls.cert_file, 'utf8') }),
        ...(tls.key_file !== undefined && { key: readSecretFile(tls.key_file) }),
      },
    }),
    ...(sasl && {
      sasl: {
        mechanism: sasl.mechanism,
        username: sasl.username,
        password: readSecretFile(sasl.password_file),
      },
    }),
  };
}
