/** What the charts' values may be: what the charts know themselves, and under `config` the schemas of those who read it. */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { z } from 'zod';

const root = join(import.meta.dirname, '..');

async function load(file: string, name: string): Promise<z.ZodObject> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a module's exports
  const exported = (await import(pathToFileURL(join(root, file)).href)) as Record<string, unknown>;
  const schema = exported[name];
  if (!(schema instanceof z.ZodObject)) throw new Error(`${file} has no schema ${name}`);
  return schema;
}

const text = z.string();
const name = z.string().regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/);
const port = z.int().min(1).max(65_535);
/** What Kubernetes itself checks. */
const free = z.record(z.string(), z.unknown());
const peers = z.strictObject({ to: z.array(free), ports: z.array(port) });
const size = z.string().regex(/^\d+(\.\d+)?([KMGTPE]i?)?$/);

const image = {
  image: z.strictObject({
    repository: text,
    tag: text,
    pullPolicy: z.enum(['Always', 'IfNotPresent', 'Never']),
  }),
  imagePullSecrets: z.array(z.strictObject({ name })),
};

/** What every pod may be told. */
const pod = {
  secretMounts: z.record(z.string().regex(/^[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?$/), name),
  terminationGracePeriodSeconds: z.int().min(1),
  resources: free,
  podAnnotations: z.record(z.string(), text),
  nodeSelector: z.record(z.string(), text),
  tolerations: z.array(free),
  affinity: free,
  env: z.array(free),
};

const service = {
  replicas: z.int().min(1),
  ...pod,
  podDisruptionBudget: z.strictObject({ maxUnavailable: z.union([z.int().min(0), text]) }),
};
const autoscaling = {
  autoscaling: z
    .strictObject({ min: z.int().min(1), max: z.int().min(1), cpu: z.int().min(1).max(100) })
    .nullable(),
};
const spool = {
  spool: z.strictObject({ persistent: z.boolean(), size, storageClassName: text }),
};

/** A cluster has Kafka; `embedded` is for the process that holds all services. */
function kafkaOf(schema: z.ZodObject): z.ZodObject {
  const { event_log: field }: Readonly<Record<string, unknown>> = schema.shape;
  const union: unknown = field instanceof z.ZodDefault ? field.unwrap() : field;
  const options = union instanceof z.ZodDiscriminatedUnion ? union.options : [];
  const kafka = options.find(
    (option) => option instanceof z.ZodObject && 'brokers' in option.shape,
  );
  if (!(kafka instanceof z.ZodObject)) throw new Error('no event log with brokers');
  return kafka;
}

/**
 * What all files share stands in one place and a service's own is laid over it, so no key is required here, neither of the
 * file nor of its event log (each service may have a user of its own there). Services check the whole.
 */
function configOf(schema: z.ZodObject, listeners: Readonly<Record<string, number>>) {
  const event_log = kafkaOf(schema).partial().optional();
  // The templates name the ports, in services, probes and network policies.
  const fixed = Object.entries({ ...listeners, metrics_listen: 9440 }).map(
    ([key, port]) => [key, z.literal(`0.0.0.0:${port}`).optional()] as const,
  );
  return z.strictObject({ ...schema.partial().shape, event_log, ...Object.fromEntries(fixed) });
}

/** helm/gatehouse/values.yaml with what somebody laid over it. */
export async function clusterValues() {
  const [auth, proxy, tunnel, audit] = await Promise.all(
    ['auth', 'proxy', 'tunnel', 'audit'].map(async (part) =>
      load(`services/${part}-service/src/config.ts`, `${part}ConfigSchema`),
    ),
  );
  if (auth === undefined || proxy === undefined || tunnel === undefined || audit === undefined)
    throw new Error('a schema is missing');
  return z.strictObject({
    ...image,
    secrets: z.strictObject({ name, create: z.boolean() }),
    migrations: z.strictObject({ enabled: z.boolean(), secretName: text }),
    config: z.strictObject({
      ...auth.pick({ cluster_name: true }).shape,
      event_log: kafkaOf(auth),
    }),
    auth: z.strictObject({
      config: configOf(auth, { listen: 3025, public_listen: 3026 }),
      ...service,
      ...autoscaling,
    }),
    proxy: z.strictObject({
      config: configOf(proxy, { listen: 8443 }),
      ...service,
      ...autoscaling,
      ...spool,
      service: z.strictObject({
        type: z.enum(['ClusterIP', 'NodePort', 'LoadBalancer']),
        port,
        annotations: z.record(z.string(), text),
        externalTrafficPolicy: z.enum(['Cluster', 'Local']),
      }),
    }),
    tunnel: z.strictObject({
      config: configOf(tunnel, { listen: 3028, public_listen: 3029 }),
      ...service,
      ...spool,
    }),
    audit: z.strictObject({
      config: configOf(audit, { public_listen: 3027 }),
      ...service,
      recordings: z.strictObject({
        existingClaim: text,
        size,
        accessModes: z.array(z.enum(['ReadWriteOnce', 'ReadWriteMany', 'ReadWriteOncePod'])),
        storageClassName: text,
      }),
    }),
    networkPolicy: z.strictObject({
      enabled: z.boolean(),
      database: peers,
      kafka: peers,
      people: z.strictObject({ from: z.array(free) }),
      metrics: z.strictObject({ from: z.array(free).min(1) }).nullable(),
      kubernetes: z.strictObject({ ports: z.array(port) }),
      telemetry: peers,
    }),
  });
}

/** helm/gatehouse-agent/values.yaml likewise. */
export async function agentValues() {
  return z.strictObject({
    ...image,
    proxy: z.string().regex(/^(\[[0-9a-fA-F:.]+\]|[^\s:]+):\d{1,5}$/),
    caPins: z.array(z.string().startsWith('sha256:')),
    tokenSecretName: name,
    config: await load('apps/agent/src/config.ts', 'agentConfigSchema'),
    ...pod,
    state: z.strictObject({ persistent: z.boolean(), size, storageClassName: text }),
    networkPolicy: z.strictObject({ enabled: z.boolean(), egress: z.array(free).nullable() }),
  });
}
