/** Certificates fresh from auth-service, as the files of a login. */
import {
  caPin,
  derToPem,
  encodeOpensshPrivateKey,
  formatSshPublicKey,
  generateKeyPair,
  sshPublicKey,
} from '@gatehouse/identity';
import type { IssuedIdentity } from '@gatehouse/proto/auth/v1/login_service';
import type { TrustBundle } from '@gatehouse/proto/auth/v1/trust';

import { cliError } from '../errors.js';
import { formatTime } from '../output/text.js';
import { rememberCluster, rememberLastCluster } from '../profile/known-clusters.js';
import { rememberUser } from '../profile/last-user.js';
import { loginFiles } from '../profile/paths.js';
import type { Login, Profile } from '../profile/profile.js';
import { storeLogin } from '../profile/store-login.js';
import { formatKnownHosts, formatSshConfig } from '../ssh/ssh-config.js';

/** Keys of a login. They are made here and never leave this machine. */
export interface LoginKeys {
  readonly sshKeyPem: string;
  /** OpenSSH blob. */
  readonly sshPublicKey: Buffer;
  readonly tlsKeyPem: string;
  /** SPKI, DER. */
  readonly tlsPublicKey: Buffer;
}

/** A fresh pair of keys: Ed25519 for SSH, P-256 for TLS. */
export function createLoginKeys(): LoginKeys {
  const ssh = generateKeyPair('ed25519');
  const tls = generateKeyPair('p256');
  return {
    sshKeyPem: ssh.privateKeyPem,
    sshPublicKey: sshPublicKey(ssh.privateKeyPem),
    tlsKeyPem: tls.privateKeyPem,
    tlsPublicKey: tls.spki,
  };
}

/** What auth-service issued, and for which keys. */
export interface StoreRequest {
  readonly home: string;
  /** `host:port` */
  readonly proxy: string;
  readonly programPath: string;
  readonly keys: LoginKeys;
  readonly issued: IssuedIdentity | undefined;
}

/** Stores the login and notes its cluster. @throws FILE_UNWRITABLE, NOT_A_CLUSTER */
export function storeIssued(request: StoreRequest): Login {
  const { home, proxy, keys, programPath } = request;
  const { issued, trust, profile } = decodeIssued(request);
  const comment = `${profile.user}@${profile.cluster}`;
  const login = storeLogin(home, {
    profile,
    sshKey: encodeOpensshPrivateKey(keys.sshKeyPem, comment),
    sshCertificate: `${formatSshPublicKey(issued.sshCertificate, comment)}\n`,
    tlsKey: keys.tlsKeyPem,
    tlsCertificate: derToPem(issued.tlsCertificate, 'CERTIFICATE'),
    ca: trust.hostTlsCa.map((der) => derToPem(der, 'CERTIFICATE')).join(''),
    knownHosts: formatKnownHosts(trust.hostSsh),
    sshConfig: formatSshConfig({
      programPath,
      home,
      proxy,
      cluster: profile.cluster,
      files: loginFiles(home, proxy),
    }),
  });
  rememberCluster(home, {
    proxyAddr: proxy,
    clusterName: profile.cluster,
    caPins: trust.hostTlsCa.map(caPin),
  });
  rememberLastCluster(home, proxy);
  rememberUser(home, proxy, profile.user);
  return login;
}

function decodeIssued({ issued, proxy }: StoreRequest): {
  issued: IssuedIdentity;
  trust: TrustBundle;
  profile: Profile;
} {
  const { trust, self, validUntil } = issued ?? {};
  if (
    issued === undefined ||
    trust === undefined ||
    self === undefined ||
    validUntil === undefined
  ) {
    throw cliError('NOT_A_CLUSTER', {
      details: { proxy, why: 'its answer to the login is not complete' },
    });
  }
  return {
    issued,
    trust,
    profile: {
      proxy,
      cluster: trust.clusterName,
      user: self.user,
      roles: self.roles,
      traits: Object.fromEntries(
        Object.entries(self.traits).map(([name, { values }]) => [name, values]),
      ),
      logins: self.logins,
      validUntil: formatTime(validUntil.getTime()),
      mfaVerified: self.mfaVerified,
      activeRequests: self.activeRequests,
      loginId: self.loginId,
    },
  };
}
