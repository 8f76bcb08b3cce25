/** A raw TCP service behind an agent. */
import type { TargetType } from '@gatehouse/protocol-api';
import { z } from 'zod';

export const tcpSpec = z.strictObject({
  protocol: z.literal('tcp').default('tcp'),
  /** `host:port` as the agent sees it. */
  address: z.string().regex(/^(\[[0-9a-fA-F:.]+\]|[^\s:]+):\d{1,5}$/),
});

export type TcpSpec = z.output<typeof tcpSpec>;

export const target: TargetType<TcpSpec> = {
  protocol: 'tcp',
  kind: 'app',
  help: 'any TCP service; bytes are relayed, not opened',
  spec: tcpSpec,
  principals: undefined,
};
