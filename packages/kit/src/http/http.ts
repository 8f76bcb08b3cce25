/** The private port of a service: `/healthz`, `/readyz` and `/metrics` (D29). Never reachable through the public port. */
import fastify from 'fastify';

import type { Logger } from '../log/log.js';

/** What `/readyz` says. `status` is `not_ready` only where another replica would do better. */
export interface Readiness {
  readonly status: 'ready' | 'not_ready';
  /** Why not ready: starting, draining, no_policy, spool_full, clock, certificate_expired, no_database. */
  readonly reasons?: readonly string[];
  /** Shared dependencies that are down. */
  readonly degraded: readonly string[];
}

export interface PrivatePortOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly logger: Logger;
}

/** What a service says of itself. */
export interface PrivateAnswers {
  readiness(): Readiness;
  /** Prometheus text. */
  metrics(): Promise<string>;
}

export interface PrivatePort extends AsyncDisposable {
  /** `http://host:port`. */
  readonly url: string;
  /** The start is over. Until then `/readyz` is 503 with `starting`, and `/metrics` is empty. */
  serve(answers: PrivateAnswers): void;
}

const starting: PrivateAnswers = {
  readiness: () => ({ status: 'not_ready', reasons: ['starting'], degraded: [] }),
  metrics: async () => Promise.resolve(''),
};

/** Opened before anything that a start may have to wait for: whoever looks after processes kills one that says nothing. */
export async function openPrivatePort(options: PrivatePortOptions): Promise<PrivatePort> {
  let answers = starting;
  const server = fastify({ logger: false, requestTimeout: 5_000, bodyLimit: 1024 });
  server.get('/healthz', async () => ({ status: 'ok' }));
  server.get('/readyz', async (_request, reply) => {
    const readiness = answers.readiness();
    return reply.code(readiness.status === 'ready' ? 200 : 503).send(readiness);
  });
  server.get('/metrics', async (_request, reply) =>
    reply.type('text/plain; version=0.0.4').send(await answers.metrics()),
  );
  server.server.on('error', (error) => options.logger.error({ err: error }, 'private port failed'));
  const url = await server.listen({ host: options.host, port: options.port });
  return {
    url,
    serve: (given) => {
      answers = given;
    },
    async [Symbol.asyncDispose]() {
      await server.close();
    },
  };
}
