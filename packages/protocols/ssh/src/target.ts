/** What an SSH node is: an sshd behind an agent, or the agent's own built-in node (D32). */
import type { TargetType } from '@gatehouse/protocol-api';
import { z } from 'zod';

const addressPattern = /^(\[[0-9a-fA-F:.]+\]|[^\s:[\]/]+):\d{1,5}$/;

/** Spec of a `node` target. */
export const sshSpec = z
  .strictObject({
    /** `host:port` of the sshd, as the agent sees it. */
    address: z.string().max(300).regex(addressPattern, 'expected host:port').optional(),
    /** Public key of the CA that signs the target's host certificate, one OpenSSH line. Default: the cluster's host_ssh. */
    host_ca: z.string().max(16_384).optional(),
    /** The target's own host key, one OpenSSH line (a pin). */
    host_key: z.string().max(16_384).optional(),
    /** The agent's own SSH node instead of an sshd. */
    builtin: z.boolean().optional(),
    /** Permits ssh-rsa host keys, SHA-1 and other outdated algorithms towards this target. */
    allow_legacy_algorithms: z.boolean().optional(),
  })
  .refine((spec) => (spec.builtin === true) !== (spec.address !== undefined), {
    message: 'needs either an address or builtin: true',
  });

export type SshSpec = z.infer<typeof sshSpec>;

export const target: TargetType<SshSpec> = {
  protocol: 'ssh',
  kind: 'node',
  help: 'an SSH server: {address: host:port, host_ca or host_key} or {builtin: true}',
  spec: sshSpec,
  principals: 'logins',
};
