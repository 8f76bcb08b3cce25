/** For tests of this package and of others: messages as clients and servers write them, and decoders for the fuzzer. */
import type { FuzzTarget } from '@gatehouse/identity/testing';
import { toGatehouseError } from '@gatehouse/kit/errors';

import { Pipeline, pipelineBackendTypes, pipelineFrontendTypes } from './relay/pipeline.js';
import {
  parseBackendKeyData,
  parseCommandComplete,
  parseErrorResponse,
  parseParameterStatus,
} from './wire/backend.js';
import { parseBoundValues, parseClose, parseParse } from './wire/frontend.js';
import { MessageReader, Piece } from './wire/message-reader.js';
import { backendLimits, createTypeTable, frontendLimits } from './wire/message-types.js';
import { formatStartupOptions, parseStartupOptions } from './wire/startup-options.js';
import { encodeStartupMessage, parseStartupPacket, startupPacketLength } from './wire/startup.js';
import { WireError } from './wire/wire-error.js';

export { evasions } from './policy/evasions.fixture.js';
export { fixturePolicies, plainStatements } from './policy/statements.fixture.js';

type Part = string | Buffer;

/** A message; text gets its NUL. */
export function frame(type: string, ...parts: readonly Part[]): Buffer {
  const body = Buffer.concat(
    parts.map((part) => (typeof part === 'string' ? Buffer.from(`${part}\0`, 'latin1') : part)),
  );
  const head = Buffer.alloc(5);
  head.write(type, 'latin1');
  head.writeUInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

export function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value & 0xffff);
  return bytes;
}

export function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

/** What clients send. */
export const client = {
  query: (text: string) => frame('Q', text),
  parse: (name: string, text: string) => frame('P', name, text, int16(0)),
  bind: (portal: string, statement: string, values: readonly (string | null)[] = []) =>
    frame(
      'B',
      portal,
      statement,
      int16(0),
      int16(values.length),
      ...values.flatMap((value) =>
        value === null ? [int32(-1)] : [int32(value.length), Buffer.from(value)],
      ),
      int16(0),
    ),
  describe: (kind: 'S' | 'P', name: string) => frame('D', Buffer.from(kind), name),
  execute: (portal: string, maxRows = 0) => frame('E', portal, int32(maxRows)),
  close: (kind: 'S' | 'P', name: string) => frame('C', Buffer.from(kind), name),
  functionCall: (oid: number) => frame('F', int32(oid), int16(0), int16(0), int16(0)),
  copyData: (text: string) => frame('d', Buffer.from(text)),
  copyDone: frame('c'),
  copyFail: (text: string) => frame('f', text),
  flush: frame('H'),
  sync: frame('S'),
} as const;

/** What servers send. */
export const server = {
  commandComplete: (tag: string) => frame('C', tag),
  dataRow: (value: string) => frame('D', int16(1), int32(value.length), Buffer.from(value)),
  error: (sqlstate: string, message = 'no', severity = 'ERROR') =>
    frame('E', `S${severity}`, `V${severity}`, `C${sqlstate}`, `M${message}`, Buffer.of(0)),
  ready: (status: 'I' | 'T' | 'E' = 'I') => frame('Z', Buffer.from(status)),
} as const;

/** What is no protocol at all is refused by an error of our own; anything else that is thrown is a mistake. */
function refusing(run: (input: Buffer) => void): (input: Buffer) => void {
  return (input) => {
    try {
      run(input);
    } catch (thrown) {
      throw thrown instanceof WireError ? toGatehouseError(thrown) : thrown;
    }
  };
}

function messageOf(input: Buffer): Piece {
  return new Piece('message', input[0] ?? 0, input, 0, input.length, 1, true);
}

/** Chunks of both sides, each behind a byte whose first bit says whose it is, and its length. */
function feedPipeline(input: Buffer): void {
  const pipeline = new Pipeline({
    finished() {},
    ended() {},
    skipped() {},
    rebound() {},
    commitFailed() {},
  });
  const sides = [
    new MessageReader({
      limits: frontendLimits,
      wholeBytes: createTypeTable(pipelineFrontendTypes),
    }),
    new MessageReader({ limits: backendLimits, wholeBytes: createTypeTable(pipelineBackendTypes) }),
  ] as const;
  for (let at = 0; at + 2 <= input.length;) {
    const isServer = (input[at] ?? 0) > 127;
    const end = Math.min(input.length, at + 2 + (input[at + 1] ?? 0));
    const reader = sides[isServer ? 1 : 0];
    reader.push(input.subarray(at + 2, end));
    for (let piece = reader.next(); piece !== undefined; piece = reader.next()) {
      if (piece.kind === 'more' || piece.kind === 'begin') continue;
      if (isServer) tellServer(pipeline, piece);
      else tellClient(pipeline, piece);
    }
    at = end;
  }
}

function tellServer(pipeline: Pipeline, piece: Piece): void {
  if (piece.kind === 'run') pipeline.passed(piece);
  else pipeline.receive(piece);
}

function tellClient(pipeline: Pipeline, piece: Piece): void {
  if (piece.kind === 'run') pipeline.sent(piece);
  else pipeline.send(piece);
}

/** One side's chunk of a dialogue for `feedPipeline`. */
function turn(side: 'client' | 'server', bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.of(side === 'server' ? 255 : 0, bytes.length), bytes]);
}

/** Every decoder of this package that reads what the network sends. */
export const fuzzTargets: readonly FuzzTarget[] = [
  {
    name: 'postgres startup',
    seeds: [
      encodeStartupMessage(0, [
        { name: 'user', value: 'alice' },
        { name: 'options', value: '-c gatehouse.target=pg-1 --work_mem=1\\ MB' },
      ]),
      Buffer.concat([int32(8), int32(80_877_103)]),
      Buffer.concat([int32(16), int32(80_877_102), int32(7), int32(9)]),
    ],
    run: refusing((input) => {
      startupPacketLength(input);
      const packet = parseStartupPacket(input);
      if (packet.kind !== 'startup') return;
      for (const { value } of packet.parameters) formatStartupOptions(parseStartupOptions(value));
    }),
  },
  {
    name: 'postgres client messages',
    seeds: [
      client.parse('s', 'select $1'),
      client.bind('p', 's', ['1', null]),
      client.close('S', 's'),
    ],
    run: refusing((input) => {
      const piece = messageOf(input);
      if (input[0] === 0x50) parseParse(piece);
      else if (input[0] === 0x42) parseBoundValues(piece, { maxValues: 3, maxValueBytes: 8 });
      else parseClose(piece);
    }),
  },
  {
    name: 'postgres server messages',
    seeds: [
      server.commandComplete('INSERT 0 5'),
      server.error('42501'),
      frame('S', 'client_encoding', 'UTF8'),
      frame('K', int32(1), int32(2)),
    ],
    run: refusing((input) => {
      const piece = messageOf(input);
      if (input[0] === 0x43) parseCommandComplete(piece);
      else if (input[0] === 0x45) parseErrorResponse(piece);
      else if (input[0] === 0x53) parseParameterStatus(piece);
      else parseBackendKeyData(piece);
    }),
  },
  {
    name: 'postgres pipeline',
    seeds: [
      Buffer.concat([
        turn('client', client.query('select 1')),
        turn('server', Buffer.concat([server.dataRow('1'), server.commandComplete('SELECT 1')])),
        turn('server', server.ready()),
      ]),
      Buffer.concat([
        turn('client', Buffer.concat([client.parse('', 'x'), client.bind('', '')])),
        turn('client', Buffer.concat([client.execute(''), client.sync])),
        turn('server', Buffer.concat([frame('1'), frame('2'), frame('G', Buffer.alloc(3))])),
        turn('client', Buffer.concat([client.copyData('1'), client.copyDone, client.sync])),
        turn('server', Buffer.concat([server.error('42601'), server.ready()])),
      ]),
    ],
    run: refusing(feedPipeline),
  },
];
