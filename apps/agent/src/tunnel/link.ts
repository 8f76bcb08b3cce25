/** One tunnel from its connection to its end: hello, welcome, news. */
import { runInBackground, withDeadline } from '@gatehouse/kit/lifecycle';
import type { Logger } from '@gatehouse/kit/log';
import type {
  AgentHello,
  ServiceMessage,
  ServiceWelcome,
} from '@gatehouse/proto/tunnel/v1/control';
import {
  serveTunnel,
  tunnelError,
  type IncomingDial,
  type ServedTunnel,
  type TunnelEnd,
  type TunnelLimits,
} from '@gatehouse/tunnel';

import type { TunnelSocket } from './connect.js';
import { createLockCollector } from './lock-set.js';

type Message = NonNullable<ServiceMessage['message']>;

/** What came of a hello. `same_proxy`: the tunnel came through the proxy to avoid, and serves nothing. */
export type Answer = 'welcome' | 'same_proxy';

/** News other than the answer to hello. `locks`: all lock documents, as JSON. */
export type News =
  | Exclude<Message, { $case: 'welcome' | 'locks' | 'sameProxy' }>
  | { readonly $case: 'locks'; readonly value: readonly string[] };

export interface LinkOptions {
  readonly hello: AgentHello;
  readonly limits: Partial<TunnelLimits>;
  readonly logger: Logger;
  onDial(dial: IncomingDial): void;
  onWelcome(welcome: ServiceWelcome): void;
  onNews(news: News): void;
}

export interface Link {
  readonly replicaId: string;
  /** The proxy through which it came, srv_…; empty: directly, or not welcome yet. */
  readonly viaProxy: string;
  readonly streamCount: number;
  /** @throws TUNNEL_HANDSHAKE when the replica does not let us in */
  readonly answer: Promise<Answer>;
  readonly closed: Promise<TunnelEnd>;
  close(): void;
}

/** auth-service may be slow just then. */
const welcomeTimeoutMs = 30_000;

export function openLink({ socket, replicaId }: TunnelSocket, options: LinkOptions): Link {
  const tunnel = serveTunnel(
    socket,
    (dial) => {
      options.onDial(dial);
    },
    options.limits,
  );
  const answer = Promise.withResolvers<Answer>();
  let viaProxy = '';
  runInBackground(
    async () => {
      try {
        await readControl(tunnel, options, (welcome) => {
          if (welcome !== undefined) ({ viaProxy } = welcome);
          answer.resolve(welcome === undefined ? 'same_proxy' : 'welcome');
        });
      } finally {
        tunnel.close();
        answer.reject(tunnelError('TUNNEL_HANDSHAKE', { details: { why: 'not let in' } }));
      }
    },
    options.logger,
    'control stream failed',
  );
  return {
    replicaId,
    get viaProxy() {
      return viaProxy;
    },
    get streamCount() {
      return tunnel.streamCount;
    },
    answer: withDeadline(answer.promise, welcomeTimeoutMs, () =>
      tunnelError('TUNNEL_HANDSHAKE', { details: { why: 'no welcome in time' } }),
    ),
    closed: tunnel.closed,
    close: () => {
      tunnel.close();
    },
  };
}

async function readControl(
  tunnel: ServedTunnel,
  options: LinkOptions,
  onAnswer: (welcome: ServiceWelcome | undefined) => void,
): Promise<void> {
  const control = await tunnel.control;
  const collectLocks = createLockCollector();
  control.send({ message: { $case: 'hello', value: options.hello } });
  for await (const { message } of control.messages()) {
    if (message?.$case === 'welcome') {
      options.onWelcome(message.value);
      onAnswer(message.value);
    } else if (message?.$case === 'sameProxy') {
      onAnswer(undefined);
    } else if (message?.$case === 'locks') {
      const locks = collectLocks(message.value);
      if (locks !== undefined) options.onNews({ $case: 'locks', value: locks });
    } else if (message !== undefined) options.onNews(message);
  }
}
