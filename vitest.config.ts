import { defineConfig } from 'vitest/config';

const source = { ssr: { resolve: { conditions: ['source', 'node'] } } };

/** A busy machine is slow, not wrong: what is asked again and again is asked for longer than the default second. */
const patient = { expect: { poll: { timeout: 10_000 } } };

/** The whole system. */
const system = {
  ...patient,
  exclude: ['**/node_modules/**', 'e2e/fuzz/**'],
  testTimeout: 120_000,
  hookTimeout: 180_000,
};
const alone = 'e2e/**/*.alone.test.ts';

export default defineConfig({
  test: {
    projects: [
      {
        ...source,
        test: {
          ...patient,
          name: 'unit',
          include: ['{packages,services,apps,tools}/**/src/**/*.test.ts', 'tools/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        ...source,
        test: {
          ...patient,
          name: 'integration',
          include: ['{packages,services,apps}/**/test/**/*.test.ts'],
          // They wait more than they compute: two at a time, also where there are two processors only.
          maxWorkers: 2,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        ...source,
        test: { name: 'fuzz', include: ['e2e/fuzz/**/*.test.ts'], testTimeout: 300_000 },
      },
      {
        ...source,
        test: {
          ...system,
          name: 'e2e',
          include: ['e2e/**/*.test.ts'],
          exclude: [...system.exclude, alone],
          // As integration: they wait for most of their time.
          maxWorkers: 2,
        },
      },
      {
        ...source,
        // What these measure is the machine's when something else runs beside them.
        test: { ...system, name: 'e2e-alone', include: [alone], fileParallelism: false },
      },
    ],
  },
});
