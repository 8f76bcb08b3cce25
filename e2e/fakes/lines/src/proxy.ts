/** Request-scoped: every line is a request of its own, decided by itself. */
import type { Duplex } from 'node:stream';

import {
  hostError,
  type Opening,
  type ProxyProtocol,
  type Session,
  type SessionEnd,
} from '@gatehouse/protocol-api';

import { encodeRefusal } from './errors.js';

export function createProxy(): ProxyProtocol<unknown, Duplex> {
  return {
    name: 'lines',
    scope: 'request',
    mode: 'inspected',
    alpn: 'gatehouse-lines',
    async open(client, offer) {
      if (offer.identity === undefined || offer.route === undefined)
        throw hostError('CERTIFICATE_MISSING');
      return { identity: offer.identity, target: offer.route.target, principal: '', state: client };
    },
    serve,
    async refuse(client, _opening, error) {
      client.end(encodeRefusal(error));
    },
  };
}

async function serve(session: Session, { state: client }: Opening<Duplex>): Promise<string> {
  const target = await session.dial();
  session.established();
  const { promise, resolve } = Promise.withResolvers<string>();
  session.signal.addEventListener('abort', () => {
    const { message } = session.signal.reason as SessionEnd;
    client.end(encodeRefusal({ publicMessage: message }));
    resolve('ended_by');
  });
  client.once('end', () => resolve('client_left'));
  client.once('close', () => resolve('client_left'));
  target.once('close', () => resolve('target_closed'));
  target.on('data', (chunk: Buffer) => client.write(chunk));
  client.on('data', (chunk: Buffer) => {
    const line = String(chunk).trim();
    const decision = line.startsWith('forbidden')
      ? session.decide({ name: 'lines.request', data: { line } })
      : ({ allowed: true } as const);
    if (!decision.allowed) {
      client.write(encodeRefusal({ publicMessage: decision.message }));
      return;
    }
    session.emit({ type: 'lines.line_started', outcome: 'success', data: { line } });
    target.write(chunk);
  });
  return promise;
}
