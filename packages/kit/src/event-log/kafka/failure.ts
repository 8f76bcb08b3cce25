/** What the client's errors mean. Its own verdict (`retriable`) says little: a refused connection is none, too. */
import type { GatehouseError } from '../../errors/errors.js';
import { eventLogError } from '../errors.js';

const tooLarge = new Set(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE']);
const maxDepth = 8;

/** EVENT_LOG_TOO_LARGE where a broker said so, EVENT_LOG_UNAVAILABLE for everything else. */
export function toEventLogError(thrown: unknown): GatehouseError {
  const causes = [...causesOf(thrown)];
  const isTooLarge = causes.some(({ type }) => type !== undefined && tooLarge.has(type));
  return eventLogError(isTooLarge ? 'EVENT_LOG_TOO_LARGE' : 'EVENT_LOG_UNAVAILABLE', {
    cause: thrown,
  });
}

/** Did a broker answer with one of these codes? */
export function hasCode(thrown: unknown, ...codes: readonly string[]): boolean {
  return [...causesOf(thrown)].some(({ type }) => type !== undefined && codes.includes(type));
}

interface Cause {
  readonly type?: string;
}

function* causesOf(thrown: unknown, depth = 0): Generator<Cause> {
  if (typeof thrown !== 'object' || thrown === null || depth > maxDepth) return;
  if ('type' in thrown && typeof thrown.type === 'string') yield { type: thrown.type };
  const errors: unknown = Reflect.get(thrown, 'errors');
  const inner = [
    Reflect.get(thrown, 'cause'),
    Reflect.get(thrown, 'originalError'),
    ...(Array.isArray(errors) ? (errors as unknown[]) : []),
  ];
  for (const cause of inner) yield* causesOf(cause, depth + 1);
}
