/** `agent.yaml`: what this agent may reach. Strict: an unknown key is an error (contract §3). */
import { hostname } from 'node:os';

import { z } from 'zod';

const name = z
  .string()
  .min(1)
  .max(253)
  .regex(/^[^\s/\p{Cc}]+$/u, 'no spaces, slashes or control characters');

const targetSchema = z.strictObject({
  kind: z.enum(['node', 'kube_cluster', 'database', 'app', 'desktop']),
  name,
  labels: z.record(z.string().max(63), z.string().max(256)).default({}),
  /** Protocol folder; where a kind has several it may also stand in `spec`. */
  protocol: z.string().max(64).optional(),
  spec: z.record(z.string(), z.unknown()),
});

export const agentConfigSchema = z
  .strictObject({
    /** The agent's own name in the cluster; default: the host's short name. */
    name: name.default(() => hostname().split('.')[0] ?? 'agent'),
    /** Agent group that owns the names of its targets; for replicas of one agent. */
    group: name.optional(),
    /** Globs of names of targets that administrators may add by documents (D32). */
    dynamic: z.array(z.string().min(1).max(253)).max(100).default([]),
    /** `accepted`: a built-in node that is not root may run shells as its own user beside stored secrets (D32). */
    same_user: z.enum(['refused', 'accepted']).default('refused'),
    targets: z.array(targetSchema).max(5_000).default([]),
  })
  .superRefine((config, context) => {
    const seen = new Set<string>();
    for (const [index, target] of config.targets.entries()) {
      const key = `${target.kind}/${target.name.toLowerCase()}`;
      if (seen.has(key))
        context.addIssue({
          code: 'custom',
          path: ['targets', index, 'name'],
          message: `"${target.name}" is there twice`,
        });
      seen.add(key);
    }
  });

export type AgentConfig = z.output<typeof agentConfigSchema>;
/** The same before defaults. */
export type AgentConfigInput = z.input<typeof agentConfigSchema>;
export type ConfiguredTarget = AgentConfig['targets'][number];
