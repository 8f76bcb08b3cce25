import type { EventTable } from '@gatehouse/protocol-api';
import { z } from 'zod';

export const events: EventTable = {
  'lines.line_started': {
    description: 'A line is about to go to the target.',
    data: z.object({ line: z.string() }),
  },
  'lines.line_ended': { description: 'A line was answered.', data: z.object({ line: z.string() }) },
};
