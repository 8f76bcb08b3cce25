import { join } from 'node:path';

import { auditConfigSchema } from '@gatehouse/audit-service';
import { authConfigSchema } from '@gatehouse/auth-service';
import { parseConfig, readYamlFile } from '@gatehouse/kit/config';
import { proxyConfigSchema } from '@gatehouse/proxy-service';
import { tunnelConfigSchema } from '@gatehouse/tunnel-service';
import { expect, it } from 'vitest';

const dir = join(import.meta.dirname, '../../docs/config');

it.each([
  ['auth-service', authConfigSchema],
  ['proxy-service', proxyConfigSchema],
  ['tunnel-service', tunnelConfigSchema],
  ['audit-service', auditConfigSchema],
])('explains a configuration of %s that is valid', (service, schema) => {
  const example = readYamlFile(join(dir, `${service}.example.yaml`));
  const config = parseConfig(schema, example, service);
  expect(config.cluster_name).toBe('home');
});
