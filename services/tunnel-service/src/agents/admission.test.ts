import { systemClock } from '@gatehouse/kit/clock';
import { beforeEach, expect, it, onTestFinished, vi } from 'vitest';

import { createAdmission } from './admission.js';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  onTestFinished(() => void vi.useRealTimers());
});

const stays = new AbortController().signal;

/** A line that writes down when each turn came, ms after it was made; a wait in vain is Infinity. Handshakes take so long. */
function createTestLine(perSecond = 10, handshakeMs = 0) {
  const admission = createAdmission({ perSecond, clock: systemClock });
  const startMs = performance.now();
  const turns: { readonly address: string; readonly atMs: number }[] = [];
  return {
    turnsOf: (address: string) =>
      turns.filter((turn) => turn.address === address).map(({ atMs }) => Math.round(atMs)),
    enter(address: string, signal = stays) {
      admission.enter(address, signal).then(
        (finish) => {
          turns.push({ address, atMs: performance.now() - startMs });
          if (handshakeMs === 0) finish();
          else setTimeout(finish, handshakeMs);
        },
        () => turns.push({ address, atMs: Infinity }),
      );
    },
  };
}

it('lets a second’s worth in at once and spreads the rest at the rate', async () => {
  const line = createTestLine();
  for (let n = 0; n < 30; n += 1) line.enter('10.0.0.1');
  await vi.advanceTimersByTimeAsync(10_000);
  const turns = line.turnsOf('10.0.0.1');
  expect(turns.filter((atMs) => atMs === 0)).toHaveLength(11);
  expect(turns).toHaveLength(30);
  expect(turns.at(-1)).toBe(1900);
});

it('turns away who would wait longer than 15 s', async () => {
  const line = createTestLine();
  for (let n = 0; n < 500; n += 1) line.enter('10.0.0.1');
  await vi.advanceTimersByTimeAsync(20_000);
  const turns = line.turnsOf('10.0.0.1');
  expect(turns.filter((atMs) => atMs < Infinity).length).toBeGreaterThanOrEqual(160);
  expect(turns).toHaveLength(500);
  expect(Math.max(...turns.filter((atMs) => atMs < Infinity))).toBeLessThanOrEqual(15_000);
});

it('serves an address soon however many wait at others', async () => {
  // Else ten addresses that connect as fast as they may, with no certificate, keep all agents out.
  const line = createTestLine(100);
  for (let ms = 0; ms < 10_000; ms += 50) {
    for (let n = 0; n < 20; n += 1) line.enter(`203.0.113.${n % 10}`);
    if (ms % 1_000 === 500) line.enter('198.51.100.1');
    await vi.advanceTimersByTimeAsync(50);
  }
  await vi.advanceTimersByTimeAsync(5_000);
  const turns = line.turnsOf('198.51.100.1');
  expect(turns).toHaveLength(10);
  for (const [second, atMs] of turns.entries()) expect(atMs - second * 1_000).toBeLessThan(700);
});

it('gives the whole rate to an address that is alone in line', async () => {
  const line = createTestLine(100);
  for (let n = 0; n < 400; n += 1) line.enter('10.0.0.1');
  await vi.advanceTimersByTimeAsync(3_100);
  expect(line.turnsOf('10.0.0.1')).toHaveLength(400);
});

it('gives the place of a connection that has closed to the next', async () => {
  // Else connections that are closed at once use up the rate.
  const line = createTestLine();
  const gone = new AbortController();
  for (let n = 0; n < 11; n += 1) line.enter('10.0.0.1');
  for (let n = 0; n < 40; n += 1) line.enter('10.0.0.1', gone.signal);
  line.enter('10.0.0.1');
  gone.abort();
  await vi.advanceTimersByTimeAsync(200);
  expect(line.turnsOf('10.0.0.1').filter((atMs) => atMs < Infinity)).toHaveLength(12);
});

it('lets in no more than half a second’s worth while handshakes take long', async () => {
  // Else a machine that is slower than the rate does handshakes that agents have long given up.
  const line = createTestLine(10, 1_000);
  for (let n = 0; n < 30; n += 1) line.enter('10.0.0.1');
  await vi.advanceTimersByTimeAsync(10_000);
  const turns = line.turnsOf('10.0.0.1');
  expect(turns).toHaveLength(30);
  for (const atMs of turns) expect(turns.filter((other) => other === atMs)).toHaveLength(5);
});

it('waits 3 s at most for a handshake before the next turn', async () => {
  const line = createTestLine(10, 60_000);
  for (let n = 0; n < 10; n += 1) line.enter('10.0.0.1');
  await vi.advanceTimersByTimeAsync(3_000);
  expect(line.turnsOf('10.0.0.1')).toHaveLength(10);
});

it('serves an address soon also where others never end their handshakes', async () => {
  const line = createTestLine(100, 60_000);
  for (let n = 0; n < 1_000; n += 1) line.enter(`203.0.113.${n % 10}`);
  await vi.advanceTimersByTimeAsync(1_000);
  line.enter('198.51.100.1');
  await vi.advanceTimersByTimeAsync(10_000);
  const [atMs = Infinity] = line.turnsOf('198.51.100.1');
  expect(atMs).toBeLessThan(4_100);
});
