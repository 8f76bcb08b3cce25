/**
 * values.schema.json of both charts, for Helm.
 *   tsx tools/generate-values-schema.ts           fail where a file differs
 *   tsx tools/generate-values-schema.ts --write   write them
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { z } from 'zod';

import { agentValues, clusterValues } from './values-schema.js';

const root = join(import.meta.dirname, '..');

function compare(chart: string, schema: z.ZodType): void {
  const file = join(root, 'helm', chart, 'values.schema.json');
  // Helm 3 reads draft 7 and no later one.
  const made = z.toJSONSchema(schema, { io: 'input', target: 'draft-7', unrepresentable: 'any' });
  const content = `${JSON.stringify(made, undefined, 2)}\n`;
  if (process.argv.includes('--write')) {
    writeFileSync(file, content);
    return;
  }
  if (readFileSync(file, 'utf8') === content) return;
  console.error(
    `${file} is stale: node --conditions=source --import tsx tools/generate-values-schema.ts --write`,
  );
  process.exitCode = 1;
}

compare('gatehouse', await clusterValues());
compare('gatehouse-agent', await agentValues());
