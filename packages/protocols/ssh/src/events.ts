/** Audit events of SSH sessions. Text from outside is escaped: bytes that are no UTF-8 and control characters as `\xNN`. */
import type { EventTable } from '@gatehouse/protocol-api';
import { z } from 'zod';

const channel = z.number().int();
const direction = z.enum(['upload', 'download']);
const forwardKind = z.enum(['local', 'remote']);
const forward = z.object({
  kind: forwardKind,
  host: z.string().optional(),
  port: z.number().optional(),
  path: z.string().optional(),
});

const synthesised = z
  .boolean()
  .optional()
  .describe('written by somebody else, as the proxy was lost');
const command = z.object({
  channel,
  kind: z.enum(['exec', 'shell', 'subsystem']),
  command: z.string().nullable(),
  subsystem: z.string().optional(),
  pty: z.boolean(),
  recordingId: z.string().optional(),
});

export const events: EventTable = {
  'ssh.command_started': {
    description:
      'A command, shell or subsystem was asked for; written before it reaches the target.',
    data: command,
  },
  'ssh.command_ended': {
    description:
      'The channel of a command, shell or subsystem closed; where its end is not known, what was asked for instead.',
    data: command.partial().extend({
      channel,
      exit_code: z.number().int().optional(),
      signal: z.string().optional(),
      durationMs: z.number().optional(),
      bytesIn: z.number().optional(),
      bytesOut: z.number().optional(),
      synthesised,
    }),
  },
  'ssh.request_denied': {
    description:
      'A channel, request or variable that is unknown or not allowed; values are never in it.',
    data: z.object({ name: z.string(), what: z.string() }),
  },
  'ssh.file_changed': {
    description:
      'SFTP renamed, removed, linked or otherwise changed a file without moving its bytes.',
    data: z.object({
      channel,
      operation: z.string(),
      path: z.string(),
      otherPath: z.string().optional(),
    }),
  },
  'ssh.file_transferred': {
    description: 'A file was read or written by SFTP, or a transfer by scp or rsync ended.',
    data: z.object({
      channel,
      path: z.string(),
      resolvedPath: z.string().optional(),
      operation: z.string(),
      direction: direction.optional(),
      bytes: z.number().optional(),
      tool: z.enum(['sftp', 'scp', 'rsync']),
      complete: z.boolean().optional(),
    }),
  },
  'ssh.file_denied': {
    description: 'A file transfer that the role does not allow.',
    data: z.object({
      channel,
      path: z.string().optional(),
      operation: z.string(),
      direction: direction.optional(),
      tool: z.enum(['sftp', 'scp', 'rsync']),
    }),
  },
  'ssh.forward_opened': {
    description:
      'A forwarded connection was let through, or a port or socket on the target was opened.',
    data: forward.extend({ synthesised }),
  },
  'ssh.forward_closed': {
    description: 'A forwarded connection ended, with the bytes it carried.',
    data: forward.extend({ bytesIn: z.number(), bytesOut: z.number(), durationMs: z.number() }),
  },
  'ssh.forward_denied': {
    description: 'A forward that the role does not allow.',
    data: forward,
  },
};
