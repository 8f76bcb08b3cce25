/** A server that answers each line with the same line. */
import type { TargetType } from '@gatehouse/protocol-api';
import { z } from 'zod';

const spec = z.strictObject({ protocol: z.literal('echo'), address: z.string() });

export const target: TargetType<z.output<typeof spec>> = {
  protocol: 'echo',
  kind: 'app',
  help: 'a fake',
  spec,
  principals: undefined,
};
