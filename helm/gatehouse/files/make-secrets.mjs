/**
 * Makes the keys that a cluster needs and its Secret does not have: 32 random bytes each, as base64 text. What is there
 * is never changed. Run as a Job before an install or an upgrade, with the rights of its service account.
 *   SECRET_NAME, SECRET_NAMESPACE   which Secret
 *   KUBERNETES_SERVICE_HOST, _PORT  the API server, given to every pod
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';

const keys = ['kek', 'join-proxy', 'join-tunnel', 'join-audit'];
const {
  SECRET_NAME: name,
  SECRET_NAMESPACE: namespace,
  KUBERNETES_SERVICE_HOST: host,
  KUBERNETES_SERVICE_PORT: port,
  TOKEN_FILE: tokenFile = '/var/run/secrets/kubernetes.io/serviceaccount/token',
} = process.env;
const secrets = `https://${host.includes(':') ? `[${host}]` : host}:${port}/api/v1/namespaces/${namespace}/secrets`;

async function ask(method, url, body) {
  const answer = await fetch(url, {
    method,
    headers: {
      authorization: `Bearer ${readFileSync(tokenFile, 'utf8').trim()}`,
      'content-type': 'application/json',
    },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: AbortSignal.timeout(20_000),
  });
  const text = await answer.text();
  if (answer.ok) return JSON.parse(text);
  if (method === 'GET' && answer.status === 404) return undefined;
  // The answer to a refused write may repeat what was written.
  throw new Error(`${method} ${url}: ${answer.status}`);
}

const found = await ask('GET', `${secrets}/${name}`);
const missing = keys.filter((key) => !found?.data?.[key]);
const made = Object.fromEntries(
  missing.map((key) => [
    key,
    Buffer.from(`${randomBytes(32).toString('base64')}\n`).toString('base64'),
  ]),
);
if (found === undefined) {
  const metadata = { name, labels: { 'app.kubernetes.io/name': 'gatehouse' } };
  await ask('POST', secrets, {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata,
    type: 'Opaque',
    data: made,
  });
} else if (missing.length > 0) {
  // With the version that was read: where somebody else was faster, this fails, and the Job tries again.
  await ask('PUT', `${secrets}/${name}`, { ...found, data: { ...found.data, ...made } });
}
console.log(missing.length === 0 ? 'nothing is missing' : `made ${missing.join(', ')}`);
