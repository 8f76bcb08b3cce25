/** Configuration files for stock OpenSSH, and the known_hosts file that goes with them. */

/** What a configuration names. */
export interface SshConfigOptions {
  readonly programPath: string;
  readonly home: string;
  /** `host:port` */
  readonly proxy: string;
  readonly cluster: string;
  readonly files: {
    readonly sshKey: string;
    readonly sshCertificate: string;
    readonly knownHosts: string;
  };
}

/**
 * Only certificates are accepted as host keys: the port also offers a plain key, for clients that know no
 * certificates, and that one must never be chosen here.
 */
const hostKeyAlgorithms = [
  'ssh-ed25519-cert-v01@openssh.com',
  'ecdsa-sha2-nistp256-cert-v01@openssh.com',
  'rsa-sha2-512-cert-v01@openssh.com',
].join(',');

/** A complete file for `ssh -F`: every host is a target of this cluster. */
export function formatSshConfig(options: SshConfigOptions): string {
  return formatBlock('*', options);
}

/** A block for the person's own file: only names that end with the cluster's. */
export function formatSshInclude(options: SshConfigOptions): string {
  return formatBlock(`*.${options.cluster}`, options);
}

function formatBlock(hosts: string, options: SshConfigOptions): string {
  const { files } = options;
  return [
    `# gate config, cluster ${options.cluster} at ${options.proxy}`,
    `Host ${hosts}`,
    `  ProxyCommand ${formatProxyCommand(options)}`,
    `  IdentityFile ${quotePath(files.sshKey)}`,
    `  CertificateFile ${quotePath(files.sshCertificate)}`,
    '  IdentitiesOnly yes',
    '  PubkeyAuthentication yes',
    '  PreferredAuthentications publickey,keyboard-interactive',
    '  ForwardAgent no',
    `  UserKnownHostsFile ${quotePath(files.knownHosts)}`,
    '  GlobalKnownHostsFile /dev/null',
    '  StrictHostKeyChecking yes',
    `  HostKeyAlgorithms ${hostKeyAlgorithms}`,
    '  UpdateHostKeys no',
    '  VerifyHostKeyDNS no',
    '  CheckHostIP no',
    '  CanonicalizeHostname no',
    '',
  ].join('\n');
}

/** OpenSSH expands `%` in it and hands it to a shell. */
function formatProxyCommand({ programPath, home, proxy }: SshConfigOptions): string {
  const words = [programPath, 'proxy', 'ssh', '--home', home, '--proxy', proxy];
  const fixed = words.map((word) => quoteForShell(word.replaceAll('%', '%%')));
  return [...fixed, '--host', "'%h'", '--port', "'%p'", '--user', "'%r'"].join(' ');
}

/** A word that any POSIX shell prints unchanged. */
export function quoteForShell(word: string): string {
  return /^[\w./:@%+,=-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** A path in a configuration file: between quotes where it must be, and with its `%` doubled. */
function quotePath(path: string): string {
  const escaped = path.replaceAll('%', '%%');
  return /^[\w./:@%+,=-]+$/.test(escaped) ? escaped : `"${escaped.replace(/["\\]/g, '\\$&')}"`;
}

/** The one line per CA that lets every target's certificate in, and nothing else. */
export function formatKnownHosts(hostAuthorities: readonly string[]): string {
  return hostAuthorities
    .map((line) => line.trim().split(/\s+/).slice(0, 2).join(' '))
    .filter((line) => line !== '')
    .map((line) => `@cert-authority * ${line}\n`)
    .join('');
}
