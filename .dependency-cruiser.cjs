/** Which way imports may point (ARCHITECTURE.md). Every rule has its reason. */
const own = '^(packages|services|apps|e2e)/';

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'no-circular',
      comment: 'A cycle can be understood only as a whole.',
      severity: 'error',
      from: { path: own },
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'not-resolvable',
      comment: 'A package imports only what its package.json lists.',
      severity: 'error',
      from: { path: own },
      to: { couldNotResolve: true },
    },
    {
      name: 'no-relative-across-packages',
      comment: 'A package is entered by its exports, so that its inside can change.',
      severity: 'error',
      from: { path: '^((?:packages/protocols|packages|services|apps)/[^/]+)/' },
      to: { path: own, pathNot: '^$1/', dependencyTypes: ['local'] },
    },
    {
      name: 'services-apart',
      comment: 'Services are deployed apart: they meet over gRPC only.',
      severity: 'error',
      from: { path: '^services/([^/]+)/' },
      to: { path: '^services/', pathNot: '^services/$1/' },
    },
    {
      name: 'only-standalone-composes',
      comment: 'Only standalone and e2e may build a service or the agent.',
      severity: 'error',
      from: { path: '^(packages|apps/(?!standalone/)|services)' },
      to: {
        path: '^(services|apps)/',
        pathNot: '^(services|apps)/[^/]+/(src|test)/.*$',
        dependencyTypesNot: ['local'],
      },
    },
    {
      name: 'packages-below',
      comment: 'What is shared knows nothing of those who share it.',
      severity: 'error',
      from: { path: '^packages/' },
      to: { path: '^(services|apps|e2e)/' },
    },
    {
      name: 'protocols-apart',
      comment: 'A protocol is one folder: it never imports another.',
      severity: 'error',
      from: { path: '^packages/protocols/(?!registry/)([^/]+)/' },
      to: { path: '^packages/protocols/', pathNot: '^packages/protocols/($1|api)/' },
    },
    {
      name: 'domain-below-protocols',
      comment: 'proto ← kit ← domain packages ← protocols.',
      severity: 'error',
      from: { path: '^packages/(?!protocols/)' },
      to: { path: '^packages/protocols/' },
    },
    {
      name: 'kit-is-the-bottom',
      comment: 'kit imports generated code only.',
      severity: 'error',
      from: { path: '^packages/kit/' },
      to: { path: '^packages/', pathNot: '^packages/(kit|proto)/' },
    },
    {
      name: 'sql-stays-in-store',
      comment: 'Queries live in store/; everything else speaks the language of its domain.',
      severity: 'error',
      from: {
        path: own,
        pathNot:
          // The agent's facet of PostgreSQL has `pg` log in at targets; it asks nothing by it.
          '(/store/|^packages/kit/src/(postgres|event-log|testing)/|^packages/protocols/postgres/src/(agent/|fixture)|/test/|\\.test\\.ts$|^e2e/)',
      },
      to: { path: 'node_modules/(kysely|pg)/', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'ssh2-in-one-folder',
      comment: 'ssh2 is patched and its internals are used: one folder knows it.',
      severity: 'error',
      from: {
        path: own,
        pathNot:
          '(^packages/protocols/ssh/src/transport/|\\.test\\.ts$|/test/|^e2e/|testing|harness)',
      },
      to: { path: 'node_modules/ssh2/' },
    },
    {
      name: 'no-tests-in-sources',
      comment: 'What ships does not need its tests.',
      severity: 'error',
      from: { path: own, pathNot: '(\\.test\\.ts$|/test/|^e2e/)' },
      to: { path: '\\.test\\.ts$' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(/dist/|^packages/proto/src/)' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['source', 'import', 'node', 'default'],
      extensions: ['.ts', '.tsx', '.js', '.json'],
    },
    moduleSystems: ['es6'],
  },
};
