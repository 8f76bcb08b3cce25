/** How a Kafka cluster is reached, and how its client is set up for what we do with it. */
import { Kafka, logLevel, type KafkaConfig, type LogEntry, type SASLOptions } from 'kafkajs';

import type { Secret } from '../../config/config.js';
import type { Logger } from '../../log/log.js';

export interface KafkaConnection {
  /** `host:port` of some brokers; the others are found through them. */
  readonly brokers: readonly string[];
  /** Shown in the brokers' logs and quotas. */
  readonly clientId: string;
  /** Without it the connection is in clear. PEM. */
  readonly tls?: {
    /** Default: the public authorities. */
    readonly ca?: string;
    readonly certificate?: string;
    readonly key?: Secret;
  };
  readonly sasl?: {
    readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
    readonly username: string;
    readonly password: Secret;
  };
  readonly logger: Logger;
}

const connectTimeoutMs = 3_000;
/** For one answer of a broker. */
const answerTimeoutMs = 10_000;
/** Tries of the client itself, within some seconds; whoever uses it goes on for ever. */
const retry = { initialRetryTime: 100, maxRetryTime: 1_000, retries: 5 };

export function createKafka(connection: KafkaConnection): Kafka {
  const { brokers, clientId, tls, sasl, logger } = connection;
  const config: KafkaConfig = {
    brokers: [...brokers],
    clientId,
    connectionTimeout: connectTimeoutMs,
    authenticationTimeout: connectTimeoutMs,
    requestTimeout: answerTimeoutMs,
    enforceRequestTimeout: true,
    retry,
    logLevel: logLevel.WARN,
    logCreator: () => (entry) => passOn(entry, logger),
    ...(tls && { ssl: toTlsOptions(tls) }),
    ...(sasl && { sasl: toSaslOptions(sasl) }),
  };
  return new Kafka(config);
}

function toTlsOptions({ ca, certificate, key }: NonNullable<KafkaConnection['tls']>) {
  return {
    ...(ca !== undefined && { ca: [ca] }),
    ...(certificate !== undefined && { cert: certificate }),
    ...(key !== undefined && { key: key.reveal() }),
    minVersion: 'TLSv1.2' as const,
  };
}

function toSaslOptions({ mechanism, username, password }: NonNullable<KafkaConnection['sasl']>) {
  return { mechanism, username, password: password.reveal() } as SASLOptions;
}

/** The client writes ordinary things (a rebalance, a broker that is loading) as errors: here they are details. */
function passOn({ namespace, log }: LogEntry, logger: Logger): void {
  const { message, timestamp: _time, logger: _name, stack: _stack, ...details } = log;
  logger.debug({ namespace, details }, message);
}
