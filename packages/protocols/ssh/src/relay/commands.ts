/**
 * Commands, shells and subsystems: audited before they reach the node (D23), refused where the role forbids a file
 * transfer, recorded where they have a terminal.
 */
import { toGatehouseError } from '@gatehouse/kit/errors';
import type { SessionEvent } from '@gatehouse/protocol-api';

import { describeError } from '../errors.js';
import { encodeMessage } from '../wire/codec.js';
import { parseTransferCommand, type TransferCommand } from '../wire/command.js';
import type { ChannelRequest } from '../wire/connection.js';
import { escapeBytes } from '../wire/escape.js';
import { messageType } from '../wire/message-types.js';
import type { RelayChannel } from './channel.js';
import type { Relay } from './relay.js';
import { createSftpInspector } from './sftp-inspector.js';
import { transferDenial } from './transfer-rules.js';

interface Asked {
  readonly request: ChannelRequest;
  /** A copy. */
  readonly message: Buffer;
}

export function startCommand(relay: Relay, channel: RelayChannel, asked: Asked): void {
  // One command to a channel (RFC 4254 §6.5).
  if (channel.hasCommand) {
    channel.reply(false, asked.request.wantReply);
    return;
  }
  channel.hasCommand = true;
  relay.session.activity();
  const transfer = transferOf(asked.request);
  const denial = transferDenial(transfer, relay.session.options.fileTransfer);
  if (transfer !== undefined && denial !== undefined) {
    relay.emitDenied('ssh.file_denied', {
      channel: channel.userId,
      tool: transfer.tool,
      operation: 'transfer',
      ...(transfer.direction && { direction: transfer.direction }),
      ...(transfer.path !== '' && { path: escapeBytes(Buffer.from(transfer.path)) }),
    });
    refuseCommand(relay, channel, { wantReply: asked.request.wantReply, text: denial });
    return;
  }
  relay.hold(channel);
  relay.track(runCommand(relay, channel, { ...asked, transfer }), 'command failed');
}

function transferOf(request: ChannelRequest): TransferCommand | undefined {
  const { detail } = request;
  if (detail.kind === 'exec') return parseTransferCommand(detail.command);
  if (detail.kind === 'subsystem' && detail.subsystem === 'sftp') {
    return { tool: 'sftp', direction: undefined, path: '' };
  }
  return undefined;
}

async function runCommand(
  relay: Relay,
  channel: RelayChannel,
  asked: Asked & { readonly transfer: TransferCommand | undefined },
): Promise<void> {
  let hasStarted = false;
  const startedMs = relay.nowMs();
  const command = commandText(asked.request);
  if (channel.pty !== undefined) {
    channel.recorder = relay.session.record({
      ...channel.pty,
      ...(command !== null && { command }),
    });
  }
  try {
    await relay.session.perform(startedEvent(channel, asked.request), async () => {
      hasStarted = true;
      forward(relay, channel, asked);
      await channel.closed;
      await endRecording(channel);
      return { value: undefined, event: endedEvent(channel, relay.nowMs() - startedMs) };
    });
    if (asked.transfer !== undefined) emitTransfer(relay, channel, asked.transfer);
  } catch (thrown) {
    await endRecording(channel);
    if (hasStarted) throw thrown;
    const text = describeError(toGatehouseError(thrown));
    refuseCommand(relay, channel, { wantReply: asked.request.wantReply, text });
  }
}

function forward(
  relay: Relay,
  channel: RelayChannel,
  asked: Asked & { transfer: TransferCommand | undefined },
): void {
  if (relay.isOver) return;
  if (asked.transfer?.tool === 'sftp') channel.inspector = createSftpInspector(relay, channel);
  if (asked.request.wantReply) channel.requests.expectRelayed();
  relay.node.send(asked.message);
  relay.release(channel);
}

async function endRecording(channel: RelayChannel): Promise<void> {
  const recorder = channel.recorder;
  channel.recorder = undefined;
  await recorder?.end();
}

function startedEvent(channel: RelayChannel, request: ChannelRequest): SessionEvent {
  const { detail } = request;
  return {
    type: 'ssh.command_started',
    outcome: 'success',
    data: {
      channel: channel.userId,
      kind: detail.kind,
      command: commandText(request),
      ...(detail.kind === 'subsystem' && { subsystem: escapeBytes(Buffer.from(detail.subsystem)) }),
      pty: channel.pty !== undefined,
      ...(channel.recorder && { recordingId: channel.recorder.recordingId }),
    },
  };
}

function endedEvent(channel: RelayChannel, durationMs: number): SessionEvent {
  const { bytesIn, bytesOut, exit } = channel;
  const isClean = exit.exit_code === 0 || exit.exit_code === undefined;
  return {
    type: 'ssh.command_ended',
    outcome: isClean && exit.signal === undefined ? 'success' : 'failure',
    data: {
      channel: channel.userId,
      ...exit,
      durationMs: Math.round(durationMs),
      bytesIn,
      bytesOut,
    },
  };
}

function commandText(request: ChannelRequest): string | null {
  return request.detail.kind === 'exec'
    ? escapeBytes(request.detail.command, { lines: true })
    : null;
}

function emitTransfer(relay: Relay, channel: RelayChannel, transfer: TransferCommand): void {
  if (transfer.direction === undefined) return;
  const isDone = channel.exit.exit_code === 0;
  relay.session.emit({
    type: 'ssh.file_transferred',
    outcome: isDone ? 'success' : 'failure',
    data: {
      channel: channel.userId,
      tool: transfer.tool,
      path: escapeBytes(Buffer.from(transfer.path)),
      operation: 'transfer',
      direction: transfer.direction,
      bytes: transfer.direction === 'upload' ? channel.bytesIn : channel.bytesOut,
      complete: isDone,
    },
  });
}

/**
 * Ends a channel instead of starting what it asked for. The request is granted and the text comes on stderr with exit
 * code 1, because clients show nothing of a refused request.
 */
function refuseCommand(
  relay: Relay,
  channel: RelayChannel,
  refusal: { readonly wantReply: boolean; readonly text: string },
): void {
  if (relay.isOver) return;
  channel.refused = true;
  relay.discardHeld(channel);
  channel.requests.answer(() => {
    if (refusal.wantReply)
      relay.user.send(encodeMessage(messageType.channelSuccess, channel.userId));
    relay.sendText(channel, `gatehouse: ${refusal.text}\r\n`);
    relay.user.send(
      encodeMessage(messageType.channelRequest, channel.userId, 'exit-status', false, 1),
    );
    relay.user.send(encodeMessage(messageType.channelEof, channel.userId));
    relay.user.send(encodeMessage(messageType.channelClose, channel.userId));
  });
  relay.node.send(encodeMessage(messageType.channelClose, channel.nodeId));
}
