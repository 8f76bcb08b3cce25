import { describe, expect, it } from 'vitest';

import { transferDenial } from './transfer-rules.js';

describe('scp with both directions', () => {
  it.each(['both', 'upload', 'download', 'none'] as const)('is refused with %s', (option) => {
    const scp = { tool: 'scp', direction: undefined, path: '/etc/shadow' } as const;
    expect(transferDenial(scp, option)).toContain('not allowed');
  });
});
