/** Audit events of database sessions. Text from outside is escaped: bytes that are no UTF-8 as `\xNN`. */
import type { EventTable } from '@gatehouse/protocol-api';
import { z } from 'zod';

const statement = z.object({
  statement: z
    .string()
    .describe('the text, or its first 64 KiB; where an event of the session has had it, 1 KiB'),
  statementBytes: z.int().describe('length of the whole text'),
  sha256: z.string().describe('of the whole text, hex'),
  truncated: z.boolean(),
  class: z.string().nullable().describe('what it is: select, insert, ddl, …; null where not known'),
  values: z
    .array(z.string().nullable())
    .optional()
    .describe('bound to it, where the role option db_bind_values says so; the first 200 of them'),
  valuesTruncated: z
    .boolean()
    .optional()
    .describe('there are more values, or one of them was cut at 1 KiB'),
});

export const events: EventTable = {
  'db.statement_started': {
    description:
      'A statement is about to be sent to the database; an event of its own only where audit is strict.',
    data: statement,
  },
  'db.statement_prepared': {
    description:
      'A statement got a name, or a portal one, by which SQL can run it: EXECUTE, FETCH. Each run by the protocol is told by itself. Or it was bound, which has the server plan it, and nothing executed it.',
    data: statement.extend({
      name: z.string().optional().describe('of the prepared statement'),
      portal: z.string().optional().describe('of the portal that it was bound to'),
    }),
  },
  'db.statement_executed': {
    description:
      'A statement was executed, or failed (outcome failure; reason cancelled, error, …).',
    data: statement.partial().extend({
      index: z.int().optional().describe('of several statements in one text: which, from 0'),
      rows: z.int().nullable().optional(),
      bytes: z.int().optional().describe('of its answer, without the heads of messages'),
      durationMs: z.number().optional(),
      sqlstate: z.string().nullable().optional(),
      error: z.string().nullable().optional().describe('as the database said it'),
      synthesised: z
        .boolean()
        .optional()
        .describe('written by somebody else, as the proxy was lost'),
    }),
  },
  'db.commit_failed': {
    description:
      'The end of an implicit transaction failed: what was executed since the one before is undone.',
    data: z.object({ sqlstate: z.string(), error: z.string() }),
  },
  'db.statement_denied': {
    description:
      'A statement that no role allows, or a role denies; it never reached the database.',
    data: statement.extend({
      rule: z.string().describe('why, with the role and its rule where there is one'),
    }),
  },
};
