/** Messages from the node's side. */
import { openFailure } from '../errors.js';
import { encodeMessage, WireReader } from '../wire/codec.js';
import { parseChannelConfirmation, parseChannelOpen, recipientOf } from '../wire/connection.js';
import { messageType } from '../wire/message-types.js';
import { reusedId, type RelayChannel } from './channel.js';
import { holdEof, releaseEof, releaseExit } from './exit-order.js';
import { handleNodeGlobal, handleNodeOpen } from './forwards.js';
import type { Relay } from './relay.js';
import { handleNodeRequest } from './requests.js';

/** One message of the node; it may be a view that is valid only during the call. @throws for what breaks the protocol */
export function handleNodeMessage(relay: Relay, message: Buffer): void {
  switch (message[0] ?? 0) {
    case messageType.globalRequest:
      return handleNodeGlobal(relay, message);
    case messageType.requestSuccess:
    case messageType.requestFailure:
      relay.userRequests.onReply(message);
      return undefined;
    case messageType.channelOpen:
      return handleNodeOpen(relay, parseChannelOpen(message), message);
    case messageType.channelOpenConfirmation:
      return onNodeConfirmation(relay, message);
    case messageType.channelOpenFailure:
      return onNodeOpenFailure(relay, message);
    default:
      return fromNodeOnChannel(relay, message);
  }
}

function fromNodeOnChannel(relay: Relay, message: Buffer): void {
  const type = message[0] ?? 0;
  if (type < messageType.channelWindowAdjust || type > messageType.channelFailure) {
    relay.node.sendUnimplemented();
    return;
  }
  const channel = relay.byUser.get(recipientOf(message));
  if (channel === undefined) return;
  if (type === messageType.channelSuccess || type === messageType.channelFailure) {
    channel.requests.onReply(Buffer.from(message));
  } else if (type === messageType.channelClose) onNodeClose(relay, channel, message);
  else if (!channel.refused) onOpenChannel(relay, channel, message);
}

function onOpenChannel(relay: Relay, channel: RelayChannel, message: Buffer): void {
  switch (message[0] ?? 0) {
    case messageType.channelData:
    case messageType.channelExtendedData:
      return onNodeData(relay, channel, message);
    case messageType.channelWindowAdjust:
      return onNodeAdjust(relay, channel, message);
    case messageType.channelRequest:
      return handleNodeRequest(relay, channel, message);
    case messageType.channelEof:
      releaseExit(relay, channel);
      if (channel.hasCommand && Object.keys(channel.exit).length === 0)
        holdEof(relay, channel, message);
      else relay.user.send(message);
      return undefined;
    default:
      return undefined;
  }
}

function onNodeConfirmation(relay: Relay, message: Buffer): void {
  const confirmation = parseChannelConfirmation(message);
  const channel = relay.byUser.get(confirmation.recipient);
  if (channel === undefined || channel.nodeId !== -1) return;
  if (relay.byNode.has(confirmation.sender)) throw reusedId();
  channel.nodeId = confirmation.sender;
  channel.nodeMaxPacket = confirmation.maxPacket;
  relay.byNode.set(confirmation.sender, channel);
  if (channel.type === 'session') {
    const window = channel.nodeReserve.setAside(confirmation.window);
    message.writeUInt32BE(window, confirmation.windowOffset);
  }
  relay.user.send(message);
}

function onNodeData(relay: Relay, channel: RelayChannel, message: Buffer): void {
  const isStderr = message[0] === messageType.channelExtendedData;
  const data = new WireReader(message, isStderr ? 9 : 5).string();
  channel.bytesOut += data.length;
  channel.userCredit -= data.length;
  relay.session.activity();
  if (channel.recorder !== undefined) recordOutput(relay, channel.recorder, data);
  const inspected = isStderr ? undefined : channel.inspector;
  if (inspected === undefined || inspected.fromNode(data)) relay.user.send(message);
}

function recordOutput(
  relay: Relay,
  recorder: NonNullable<RelayChannel['recorder']>,
  data: Buffer,
): void {
  recorder.output(data);
  if (!recorder.overloaded || relay.nodeValve.isClosed('recorder')) return;
  relay.nodeValve.close('recorder');
  relay.track(
    recorder.drained().finally(() => relay.nodeValve.open('recorder')),
    'recorder did not drain',
  );
}

function onNodeAdjust(relay: Relay, channel: RelayChannel, message: Buffer): void {
  const passed = channel.nodeReserve.refill(new WireReader(message, 5).u32());
  if (passed === 0) return;
  message.writeUInt32BE(passed, 5);
  relay.user.send(message);
}

function onNodeClose(relay: Relay, channel: RelayChannel, message: Buffer): void {
  channel.closedByNode = true;
  releaseExit(relay, channel);
  releaseEof(relay, channel);
  if (!channel.refused) relay.user.send(message);
  relay.finishChannel(channel);
  if (channel.closedByUser) relay.remove(channel);
}

function onNodeOpenFailure(relay: Relay, message: Buffer): void {
  const channel = relay.byUser.get(recipientOf(message));
  if (channel === undefined || channel.nodeId !== -1) return;
  channel.openFailure = new WireReader(message, 9).text(4096);
  relay.remove(channel);
  if (channel.type !== 'session') {
    relay.user.send(message);
    return;
  }
  const text = 'target refused another session';
  const code = openFailure.resourceShortage;
  relay.user.send(encodeMessage(messageType.channelOpenFailure, channel.userId, code, text, ''));
}
