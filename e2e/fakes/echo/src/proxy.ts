/** Connection-scoped and inspected: each line is audited before it goes, and recorded. */
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
    name: 'echo',
    scope: 'connection',
    mode: 'inspected',
    alpn: 'gatehouse-echo',
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
  const recorder = session.record({ columns: 80, rows: 24 });
  const { promise, resolve } = Promise.withResolvers<string>();
  session.signal.addEventListener('abort', () => {
    const { message } = session.signal.reason as SessionEnd;
    client.end(encodeRefusal({ publicMessage: message }));
    resolve('ended_by');
  });
  client.once('end', () => resolve('client_left'));
  client.once('close', () => resolve('client_left'));
  target.once('close', () => resolve('target_closed'));
  target.on('data', (chunk: Buffer) => {
    recorder.output(chunk);
    client.write(chunk);
  });
  client.on('data', (chunk: Buffer) => {
    const line = String(chunk).trim();
    const data = { line };
    session
      .perform({ type: 'echo.line_started', outcome: 'success', data }, async () => {
        target.write(chunk);
        return { value: undefined, event: { type: 'echo.line_ended', outcome: 'success', data } };
      })
      .catch(() => client.destroy());
  });
  const reason = await promise;
  await recorder.end();
  return reason;
}
