/** What an SSH node is: an sshd behind an agent, or the agent's own built-in node (D32). */
import { parseSshPublicKey } from '@gatehouse/identity';
import type { TargetType } from '@gatehouse/protocol-api';
import { z } from 'zod';

const addressPattern = /^(\[[0-9a-fA-F:.]+\]|[^\s\p{C}:[\]/]+):\d{1,5}$/u;

/** OpenSSH public keys, one a line. */
const publicKeys = z
  .string()
  .max(16_384)
  .refine(areKeys, 'expected public keys as OpenSSH writes them: "ssh-ed25519 AAAA…"');

/** Spec of a `node` target. */
export const sshSpec = z
  .strictObject({
    /** `host:port` of the sshd, as the agent sees it. */
    address: z.string().max(300).regex(addressPattern, 'expected host:port').optional(),
    /** Public keys of the CAs that sign the target's host certificate, one OpenSSH line each. Default: the cluster's host_ssh. */
    host_ca: publicKeys.optional(),
    /** The target's own host key, one OpenSSH line (a pin). */
    host_key: publicKeys.optional(),
    /** The agent's own SSH node instead of an sshd. */
    builtin: z.boolean().optional(),
    /** Permits ssh-rsa host keys, SHA-1 and other outdated algorithms towards this target. */
    allow_legacy_algorithms: z.boolean().optional(),
  })
  .refine((spec) => (spec.builtin === true) !== (spec.address !== undefined), {
    message: 'needs either an address or builtin: true',
  });

function areKeys(text: string): boolean {
  try {
    const lines = splitKeys(text);
    for (const line of lines) parseSshPublicKey(line);
    return lines.length > 0;
  } catch {
    return false;
  }
}

/** The lines of `host_ca` and `host_key`. */
export function splitKeys(text: string): string[] {
  return text.split('\n').filter((line) => line.trim() !== '');
}

export type SshSpec = z.infer<typeof sshSpec>;

export const target: TargetType<SshSpec> = {
  protocol: 'ssh',
  kind: 'node',
  help: 'an SSH server: {address: host:port, host_ca or host_key} or {builtin: true}',
  spec: sshSpec,
  principals: 'logins',
  onlyConfigured: (spec) =>
    spec.builtin === true
      ? 'a built-in node opens the host of the agent: only its own configuration may have one'
      : undefined,
};
