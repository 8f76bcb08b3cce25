/** Relays raw TCP: who and where come from the client certificate and the preface; the bytes are counted, never parsed. */
import type { Duplex } from 'node:stream';

import { joinStreams } from '@gatehouse/kit/net';
import {
  hostError,
  type Offer,
  type Opening,
  type ProxyProtocol,
  type ProxyServices,
  type Session,
} from '@gatehouse/protocol-api';

import type { TcpSpec } from './target.js';

interface TcpState {
  readonly client: Duplex;
}

export function createProxy(_services: ProxyServices): ProxyProtocol<TcpSpec, TcpState> {
  return {
    name: 'tcp',
    scope: 'connection',
    mode: 'relayed',
    alpn: 'gatehouse-tcp',
    open,
    serve,
    async refuse(client) {
      client.destroy();
    },
  };
}

async function open(client: Duplex, offer: Offer): Promise<Opening<TcpState>> {
  const identity = offer.identify();
  if (offer.route === undefined)
    throw hostError('PROTOCOL_ERROR', { reason: 'protocol', details: { why: 'no target' } });
  return { identity, target: offer.route.target, principal: '', state: { client } };
}

async function serve(session: Session<TcpSpec>, opening: Opening<TcpState>): Promise<string> {
  const { client } = opening.state;
  const target = await session.dial();
  session.established();
  const stop = () => {
    client.destroy();
    target.destroy();
  };
  session.signal.addEventListener('abort', stop, { once: true });
  await session.acknowledged();
  client.on('data', () => session.activity());
  target.on('data', () => session.activity());
  const { outcome, side } = await joinStreams(client, target);
  if (outcome === 'broken' && side === 'b') return 'agent_lost';
  return side === 'a' ? 'client_left' : 'target_closed';
}
