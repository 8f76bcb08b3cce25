/** TunnelService for grpc-js, wire-compatible with tunnel_service.proto. */
import {
  AbandonRequest,
  AbandonResponse,
  MoveTunnelsRequest,
  MoveTunnelsResponse,
  TellProxiesRequest,
  TellProxiesResponse,
  WatchAgentsRequest,
  WatchAgentsResponse,
} from '@gatehouse/proto/tunnel/v1/tunnel_service';

import { decodeMessage, type MessageCodec } from '../control-channel.js';
import { decodeRequest, decodeResponse, encodeRequest, encodeResponse } from './frames.js';

function serializer<Message>(codec: MessageCodec<Message>): (message: Message) => Buffer {
  return (message) => {
    const bytes = codec.encode(message).finish();
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
}

function deserializer<Message>(codec: MessageCodec<Message>): (bytes: Buffer) => Message {
  return (bytes) => decodeMessage(codec, bytes);
}

const service = '/gatehouse.tunnel.v1.TunnelService';

export const tunnelServiceDefinition = {
  watchAgents: {
    path: `${service}/WatchAgents`,
    requestStream: true,
    responseStream: true,
    requestSerialize: serializer(WatchAgentsRequest),
    requestDeserialize: deserializer(WatchAgentsRequest),
    responseSerialize: serializer(WatchAgentsResponse),
    responseDeserialize: deserializer(WatchAgentsResponse),
  },
  dial: {
    path: `${service}/Dial`,
    requestStream: true,
    responseStream: true,
    requestSerialize: encodeRequest,
    requestDeserialize: decodeRequest,
    responseSerialize: encodeResponse,
    responseDeserialize: decodeResponse,
  },
  abandon: {
    path: `${service}/Abandon`,
    requestStream: false,
    responseStream: false,
    requestSerialize: serializer(AbandonRequest),
    requestDeserialize: deserializer(AbandonRequest),
    responseSerialize: serializer(AbandonResponse),
    responseDeserialize: deserializer(AbandonResponse),
  },
  moveTunnels: {
    path: `${service}/MoveTunnels`,
    requestStream: false,
    responseStream: false,
    requestSerialize: serializer(MoveTunnelsRequest),
    requestDeserialize: deserializer(MoveTunnelsRequest),
    responseSerialize: serializer(MoveTunnelsResponse),
    responseDeserialize: deserializer(MoveTunnelsResponse),
  },
  tellProxies: {
    path: `${service}/TellProxies`,
    requestStream: false,
    responseStream: false,
    requestSerialize: serializer(TellProxiesRequest),
    requestDeserialize: deserializer(TellProxiesRequest),
    responseSerialize: serializer(TellProxiesResponse),
    responseDeserialize: deserializer(TellProxiesResponse),
  },
} as const;
