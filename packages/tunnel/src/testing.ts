import { parseProxyHeader, encodeProxyHeader } from '@gatehouse/kit/net';
/** Decoders of this package for the fuzzer. `run` may throw GatehouseError and nothing else. */
import { AgentMessage, ServiceMessage } from '@gatehouse/proto/tunnel/v1/control';

import { decodeMessage } from './control-channel.js';
import { ControlFrameDecoder, encodeControlFrame } from './control-frames.js';
import { decodeRequest, decodeResponse, encodeRequest, encodeResponse } from './hop/frames.js';

export interface FuzzTarget {
  readonly name: string;
  readonly seeds: readonly Buffer[];
  run(input: Buffer): void;
}

const hello = AgentMessage.encode({
  message: { $case: 'hello', value: { version: '0.1.0', targets: [], dynamic: ['*'], nonce: 1n } },
}).finish();
const locks = ServiceMessage.encode({
  message: { $case: 'locks', value: { documentsJson: ['{}'] } },
}).finish();
const dialOpen = {
  agentId: 'agt_1',
  grant: 'a.b.c',
  sessionId: 'ses_1',
  traceparent: '',
  dialId: 'req_1',
};

export const fuzzTargets: readonly FuzzTarget[] = [
  {
    name: 'control frames of agents',
    seeds: [encodeControlFrame(hello)],
    run(input) {
      for (const message of cut(input)) decodeMessage(AgentMessage, message);
    },
  },
  {
    name: 'control frames of tunnel-service',
    seeds: [encodeControlFrame(locks)],
    run(input) {
      for (const message of cut(input)) decodeMessage(ServiceMessage, message);
    },
  },
  {
    name: 'hop frames to the tunnel replica',
    seeds: [
      encodeRequest({ kind: 'open', value: dialOpen }),
      encodeRequest({ kind: 'data', parts: [Buffer.from('bytes')] }),
      encodeRequest({ kind: 'reset', reason: 'closed', message: '' }),
    ],
    run(input) {
      decodeRequest(input);
    },
  },
  {
    name: 'hop frames to the proxy',
    seeds: [
      encodeResponse({ kind: 'opened', value: { replicaId: 'srv_1' } }),
      encodeResponse({ kind: 'data', parts: [Buffer.alloc(200)] }),
      encodeResponse({ kind: 'end' }),
    ],
    run(input) {
      decodeResponse(input);
    },
  },
  {
    name: 'PROXY header',
    seeds: [
      encodeProxyHeader({ source: { address: '192.0.2.1', port: 1 }, proxyId: 'srv_1' }),
      Buffer.from('PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n'),
    ],
    run(input) {
      parseProxyHeader(input);
    },
  },
];

function cut(input: Buffer): Buffer[] {
  const decoder = new ControlFrameDecoder();
  const half = input.length >> 1;
  return [...decoder.push(input.subarray(0, half)), ...decoder.push(input.subarray(half))];
}
