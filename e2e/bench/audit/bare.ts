/** The least that storing a topic can cost: consume, parse, COPY. No check, no search text, no repeats, no dead letters. */
import { once } from 'node:events';

import { Kafka, logLevel, type KafkaMessage } from 'kafkajs';
import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';

const columns =
  'id, type, time, session_id, sequence, actor_kind, actor_name, target_name, outcome, search_text, event, stored_at';

/** Reads `count` records of a topic into a table made like that of the store. @returns ms from the first to the last */
export async function runBare(options: {
  readonly broker: string;
  readonly topic: string;
  readonly databaseUrl: string;
  readonly count: number;
}): Promise<number> {
  const { broker, topic, databaseUrl, count } = options;
  const client = new pg.Client({ connectionString: databaseUrl });
  client.on('error', () => undefined);
  await client.connect();
  await client.query(
    'drop table if exists bare_event; create table bare_event (like audit_event including all)',
  );
  const kafka = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING });
  const consumer = kafka.consumer({ groupId: `bare-${process.pid}-${Date.now()}` });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  const done = Promise.withResolvers<number>();
  let stored = 0;
  let startedAt: number | undefined;
  await consumer.run({
    eachBatch: async ({ batch }) => {
      startedAt ??= performance.now();
      await copy(client, batch.messages);
      stored += batch.messages.length;
      if (stored >= count) done.resolve(performance.now() - startedAt);
    },
  });
  const ms = await done.promise;
  await consumer.disconnect();
  await client.end();
  return ms;
}

async function copy(client: pg.Client, messages: readonly KafkaMessage[]): Promise<void> {
  const now = new Date().toISOString();
  const lines = messages.map(({ value }) => {
    const json = value?.toString() ?? '';
    const event = JSON.parse(json) as Record<'id' | 'type' | 'time' | 'outcome', string> & {
      sessionId?: string;
      sequence?: number;
      actor: { kind: string; name: string };
      target?: { name: string };
    };
    return [
      event.id,
      event.type,
      event.time,
      event.sessionId,
      event.sequence,
      event.actor.kind,
      event.actor.name,
      event.target?.name,
      event.outcome,
      json.toLowerCase(),
      json,
      now,
    ]
      .map(escape)
      .join('\t');
  });
  const stream = client.query(copyFrom(`copy bare_event (${columns}) from stdin`));
  stream.end(`${lines.join('\n')}\n`);
  await once(stream, 'finish');
}

const escapes: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  '\n': String.raw`\n`,
  '\r': String.raw`\r`,
  '\t': String.raw`\t`,
};

function escape(value: string | number | undefined): string {
  if (value === undefined) return String.raw`\N`;
  return String(value).replace(/[\\\n\r\t]/g, (character) => escapes[character] ?? '');
}
