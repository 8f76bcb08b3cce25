import { writeFileSync } from 'node:fs';

import { createWorld } from './stack/world.js';
const w = await createWorld({
  people: { alice: ['dev'], mallory: ['nofiles'], peter: ['anylogin'], carol: ['auditor'] },
  sshd: { acceptEnv: ['*'] },
  roles: [
    {
      kind: 'role',
      version: 'v1',
      metadata: { name: 'nofiles' },
      spec: {
        options: { file_transfer: 'none', port_forwarding: 'none' },
        allow: { logins: ['deploy'], node_labels: { env: 'staging' } },
      },
    },
    {
      kind: 'role',
      version: 'v1',
      metadata: { name: 'anylogin' },
      spec: {
        allow: { logins: ['*'], node_labels: { env: 'staging' } },
        deny: { logins: ['root'] },
      },
    },
  ],
});
const out: any = {
  ready: w.home.ready,
  dir: w.home.dir,
  dataDir: w.home.dataDir,
  log: w.home.logFile,
  pid: process.pid,
  web1: w.web1.logFile,
  people: {},
};
for (const n of ['alice', 'mallory', 'peter', 'carol']) {
  const p = w.person(n);
  out.people[n] = { gh: p.gateHome, status: await p.json(['status']), password: p.password };
}
out.people.ada = {
  gh: w.ada.gateHome,
  status: await w.ada.json(['status']),
  password: w.ada.password,
};
writeFileSync('/tmp/attack/world.json', JSON.stringify(out, null, 1));
console.log('up');
process.on('SIGTERM', async () => {
  await w[Symbol.asyncDispose]();
  process.exit(0);
});
setInterval(() => {}, 1000);
