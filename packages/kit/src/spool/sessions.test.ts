import { expect, it } from 'vitest';

import { OpenSessions } from './sessions.js';

const actor = { kind: 'user', name: 'alice' };
const time = '2026-11-27T00:00:00.000Z';

function openWith(intents: number) {
  const sessions = new OpenSessions();
  const state = sessions.open({ sessionId: 'ses_1', actor }, 7);
  for (let index = 0; index < intents; index += 1) {
    const data = { statement: '\u0001'.repeat(2_000) };
    sessions.noteEvent(state, { type: 'db.statement_started', time, data }, { opens: `i${index}` });
  }
  const snapshot = sessions.snapshot() as {
    losingSinceMs?: number;
    sessions: { intents: [string, { data: { statement: string } }][] }[];
  };
  return { snapshot, intents: snapshot.sessions[0]?.intents ?? [] };
}

it('keeps the texts of a few hundred intents of a session, and the beginning of the others', () => {
  const { snapshot, intents } = openWith(1_000);
  expect(intents).toHaveLength(1_000);
  expect(intents[0]?.[1].data.statement).toHaveLength(1_024);
  expect(intents[999]?.[1].data.statement).toHaveLength(64);
  expect(snapshot.losingSinceMs).toBeUndefined();
});

it('leaves out what no frame could hold, and says that something was lost', () => {
  const { snapshot, intents } = openWith(100_000);
  expect(intents.length).toBeLessThan(100_000);
  expect(snapshot.losingSinceMs).toBe(Date.parse(time));
  expect(Buffer.byteLength(JSON.stringify(snapshot))).toBeLessThan(64 * 1024 * 1024);
});
