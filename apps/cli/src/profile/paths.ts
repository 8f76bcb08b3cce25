/** Where things lie in `GATE_HOME`. Nothing here reads anything. */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

/** What says where the profile directory is. */
export interface HomeOptions {
  readonly variables: Readonly<Record<string, string | undefined>>;
  /** `--home` */
  readonly home?: string | undefined;
}

/** `--home`, else `$GATE_HOME`, else `~/.gatehouse`. Never the current folder. */
export function findHome({ variables, home }: HomeOptions): string {
  const chosen = home ?? variables['GATE_HOME'];
  return chosen === undefined || chosen === '' ? join(homedir(), '.gatehouse') : resolve(chosen);
}

/** The folder of one cluster, named after its address. */
export function clusterFolder(home: string, proxy: string): string {
  return join(home, 'clusters', proxy.toLowerCase().replace(/[^\p{L}\p{N}.-]/gu, '_'));
}

/** Files of a login; they keep their names from login to login. */
export interface LoginFiles {
  readonly folder: string;
  readonly profile: string;
  readonly sshKey: string;
  readonly sshCertificate: string;
  readonly tlsKey: string;
  readonly tlsCertificate: string;
  readonly ca: string;
  readonly knownHosts: string;
  readonly sshConfig: string;
}

/** `current` is a link to the folder of the present login, so that a new login appears whole or not at all. */
export function loginFiles(home: string, proxy: string): LoginFiles {
  return filesIn(join(clusterFolder(home, proxy), 'current'));
}

/** The files of a login in its folder. */
export function filesIn(folder: string): LoginFiles {
  const at = (name: string) => join(folder, name);
  return {
    folder,
    profile: at('profile.json'),
    sshKey: at('ssh_key'),
    sshCertificate: at('ssh_key-cert.pub'),
    tlsKey: at('tls_key.pem'),
    tlsCertificate: at('tls_cert.pem'),
    ca: at('ca.pem'),
    knownHosts: at('known_hosts'),
    sshConfig: at('ssh_config'),
  };
}

/** Which clusters are known and by which pins. Standalone writes it too (D31). */
export function knownClustersFile(home: string): string {
  return join(home, 'known-clusters.json');
}
