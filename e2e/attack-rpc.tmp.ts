import { readFileSync } from 'node:fs';
import { connect } from 'node:net';

import { AuditServiceDefinition } from '@gatehouse/proto/audit/v1/audit_service';
import { AdministrationServiceDefinition } from '@gatehouse/proto/auth/v1/administration_service';
import { ClusterServiceDefinition } from '@gatehouse/proto/auth/v1/cluster_service';
import { CredentialServiceDefinition } from '@gatehouse/proto/auth/v1/credential_service';
import { EnrollmentServiceDefinition } from '@gatehouse/proto/auth/v1/enrollment_service';
import { LoginServiceDefinition } from '@gatehouse/proto/auth/v1/login_service';
import { TunnelServiceDefinition } from '@gatehouse/proto/tunnel/v1/tunnel_service';
import * as grpc from '@grpc/grpc-js';
const w = JSON.parse(readFileSync('/tmp/attack/world.json', 'utf8'));
const port = +w.ready.proxyAddr.split(':')[1];
const names = Object.keys(w.people);
function client(sni: string, who?: { key: string; cert: string }) {
  const ca = JSON.parse(readFileSync('/dev/null', 'utf8') || 'null');
  const opts: any = { 'grpc.ssl_target_name_override': sni, 'grpc.default_authority': sni };
  const creds = grpc.credentials.createSsl(
    Buffer.from(w.ca),
    who ? Buffer.from(who.key) : null,
    who ? Buffer.from(who.cert) : null,
    { checkServerIdentity: () => undefined } as any,
  );
  return new grpc.Client(`127.0.0.1:${port}`, creds, opts);
}
function call(c: grpc.Client, def: any, m: any): Promise<string> {
  return new Promise((res) => {
    const path = `/${def.fullName}/${m.name}`;
    const dl = { deadline: Date.now() + 3000 };
    const ser = (v: any) => Buffer.from(v);
    const de = (b: Buffer) => b;
    if (m.responseStream) {
      const s = c.makeServerStreamRequest(path, ser, de, Buffer.alloc(0), dl);
      let got = 0;
      s.on('data', () => {
        got++;
        s.cancel();
        res('OK(stream)');
      });
      s.on('error', (e: any) => res(`${grpc.status[e.code]} ${e.details.slice(0, 60)}`));
      s.on('end', () => res('OK(end)'));
    } else
      c.makeUnaryRequest(
        path,
        ser,
        de,
        Buffer.alloc(0),
        new grpc.Metadata(),
        dl,
        (e: any, v: any) =>
          res(e ? `${grpc.status[e.code]} ${e.details.slice(0, 60)}` : `OK ${v.length}B`),
      );
  });
}
const pki = (n: string) => {
  const s = w.people[n].status;
  return { key: readFileSync(s.tlsKeyFile, 'utf8'), cert: readFileSync(s.tlsCertFile, 'utf8') };
};
w.ca = readFileSync(w.people.alice.status.caFile, 'utf8');
import { readdirSync, existsSync } from 'node:fs';
import { join } from 'node:path';
const agentDir = join(w.dir, 'agents/a1/data');
console.log(readdirSync(agentDir));
const find = (d: string, re: RegExp): string | undefined => {
  for (const f of readdirSync(d, { withFileTypes: true })) {
    const p = join(d, f.name);
    if (f.isDirectory()) {
      const r = find(p, re);
      if (r) return r;
    } else if (re.test(f.name)) return p;
  }
};
const agentFiles = readdirSync(agentDir, { recursive: true });
console.log(agentFiles);
const callers: any = {
  anonymous: undefined,
  'user(no rights: alice)': pki('alice'),
  'user(auditor carol)': pki('carol'),
};
try {
  const j = JSON.parse(readFileSync(join(agentDir, 'identity.json'), 'utf8'));
  callers.agent = { key: j.privateKeyPem ?? j.key, cert: j.certificatePem ?? j.certificate };
} catch (e) {
  console.log(String(e));
}
for (const [sni, defs] of [
  [
    'auth.home.gatehouse.internal',
    [
      LoginServiceDefinition,
      EnrollmentServiceDefinition,
      AdministrationServiceDefinition,
      ClusterServiceDefinition,
      CredentialServiceDefinition,
      AuditServiceDefinition,
      TunnelServiceDefinition,
    ],
  ],
  [
    'audit.home.gatehouse.internal',
    [AuditServiceDefinition, AdministrationServiceDefinition, LoginServiceDefinition],
  ],
] as any)
  for (const [who, c] of Object.entries(callers) as any) {
    const cl = client(sni, c);
    for (const d of defs)
      for (const m of Object.values(d.methods) as any[]) {
        if (m.name === 'Logout') continue;
        console.log(
          sni.split('.')[0],
          '|',
          who,
          '|',
          d.fullName.split('.').at(-1) + '/' + m.name,
          '|',
          await call(cl, d, m),
        );
      }
  }
process.exit(0);
