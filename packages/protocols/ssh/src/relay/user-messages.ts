/** Messages from the person's side. */
import { WireReader } from '../wire/codec.js';
import { parseChannelConfirmation, parseChannelOpen, recipientOf } from '../wire/connection.js';
import { messageType } from '../wire/message-types.js';
import { reusedId, type RelayChannel } from './channel.js';
import { handleUserGlobal, handleUserOpen } from './forwards.js';
import type { Relay } from './relay.js';
import { handleUserRequest } from './requests.js';

/** One message of the user; it may be a view that is valid only during the call. @throws for what breaks the protocol */
export function handleUserMessage(relay: Relay, message: Buffer): void {
  switch (message[0] ?? 0) {
    case messageType.globalRequest:
      return handleUserGlobal(relay, message);
    case messageType.requestSuccess:
    case messageType.requestFailure:
      relay.nodeRequests.onReply(message);
      return undefined;
    case messageType.channelOpen:
      return handleUserOpen(relay, parseChannelOpen(message), message);
    case messageType.channelOpenConfirmation:
      return onUserConfirmation(relay, message);
    case messageType.channelOpenFailure:
      return onUserOpenFailure(relay, message);
    case messageType.userauthRequest:
      return undefined;
    default:
      return fromUserOnChannel(relay, message);
  }
}

function fromUserOnChannel(relay: Relay, message: Buffer): void {
  const type = message[0] ?? 0;
  if (type < messageType.channelWindowAdjust || type > messageType.channelFailure) {
    relay.user.sendUnimplemented();
    return;
  }
  const channel = relay.byNode.get(recipientOf(message));
  if (channel === undefined) return;
  if (channel.held !== undefined) relay.holdMessage(channel.held, message);
  else if (type === messageType.channelClose) onUserClose(relay, channel, message);
  else if (!channel.refused) onOpenChannel(relay, channel, message);
}

function onOpenChannel(relay: Relay, channel: RelayChannel, message: Buffer): void {
  switch (message[0] ?? 0) {
    case messageType.channelData:
      return onUserData(relay, channel, message);
    case messageType.channelWindowAdjust:
      return onUserAdjust(relay, channel, message);
    case messageType.channelRequest:
      return handleUserRequest(relay, channel, message);
    default:
      relay.node.send(message);
  }
}

function onUserData(relay: Relay, channel: RelayChannel, message: Buffer): void {
  const data = new WireReader(message, 5).string();
  channel.bytesIn += data.length;
  relay.session.activity();
  if (channel.inspector === undefined || channel.inspector.fromUser(data)) relay.node.send(message);
}

function onUserAdjust(relay: Relay, channel: RelayChannel, message: Buffer): void {
  const passed = channel.userReserve.refill(new WireReader(message, 5).u32());
  channel.inspector?.onWindow();
  if (passed === 0) return;
  channel.userCredit += passed;
  message.writeUInt32BE(passed, 5);
  relay.node.send(message);
}

function onUserClose(relay: Relay, channel: RelayChannel, message: Buffer): void {
  channel.closedByUser = true;
  if (!channel.refused) relay.node.send(message);
  if (channel.closedByNode) relay.remove(channel);
}

function onUserConfirmation(relay: Relay, message: Buffer): void {
  const confirmation = parseChannelConfirmation(message);
  const channel = relay.byNode.get(confirmation.recipient);
  if (channel === undefined || channel.userId !== -1) return;
  if (relay.byUser.has(confirmation.sender)) throw reusedId();
  channel.userId = confirmation.sender;
  relay.byUser.set(confirmation.sender, channel);
  relay.node.send(message);
}

function onUserOpenFailure(relay: Relay, message: Buffer): void {
  const channel = relay.byNode.get(recipientOf(message));
  if (channel === undefined || channel.userId !== -1) return;
  channel.openFailure = new WireReader(message, 9).text(4096);
  relay.remove(channel);
  relay.node.send(message);
}
