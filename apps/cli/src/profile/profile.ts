/** The present login at a cluster: who, until when, and its keys and certificates. */
import { cliError } from '../errors.js';
import { readFileIfThere, readPrivateFile } from './files.js';
import { isRecord, parseJson, textList } from './json.js';
import { loginFiles, type LoginFiles } from './paths.js';

/** Who is logged in, as auth-service said at the login. */
export interface Profile {
  /** `host:port` */
  readonly proxy: string;
  readonly cluster: string;
  readonly user: string;
  readonly roles: readonly string[];
  readonly traits: Readonly<Record<string, readonly string[]>>;
  readonly logins: readonly string[];
  /** RFC 3339 */
  readonly validUntil: string;
  readonly mfaVerified: boolean;
  readonly activeRequests: readonly string[];
  /** lgn_… */
  readonly loginId: string;
}

/** A login and its files. */
export interface Login {
  readonly profile: Profile;
  readonly files: LoginFiles;
}

/** The login at a cluster, also one that has ended; undefined where there is none. @throws PROFILE_BROKEN */
export function findLogin(home: string, proxy: string): Login | undefined {
  const files = loginFiles(home, proxy);
  const text = readFileIfThere(files.profile);
  if (text === undefined) return undefined;
  const profile = decodeProfile(parseJson(text));
  if (profile === undefined) throw cliError('PROFILE_BROKEN', { details: { path: files.profile } });
  return { profile, files };
}

/** The login at a cluster. @throws NOT_LOGGED_IN, PROFILE_BROKEN */
export function readLogin(home: string, proxy: string): Login {
  const login = findLogin(home, proxy);
  if (login === undefined) throw cliError('NOT_LOGGED_IN', { details: { proxy } });
  return login;
}

/** @throws LOGIN_EXPIRED */
export function checkNotExpired(profile: Profile, nowMs: number): void {
  if (isExpired(profile, nowMs))
    throw cliError('LOGIN_EXPIRED', { details: { at: profile.validUntil } });
}

/** Has its certificate ended, by this clock? */
export function isExpired(profile: Profile, nowMs: number): boolean {
  return Date.parse(profile.validUntil) <= nowMs;
}

/** Key and certificates for TLS, PEM. */
export interface TlsMaterial {
  readonly key: string;
  readonly certificate: string;
  /** Certificates of host_tls CAs. */
  readonly ca: string;
}

/** @throws NOT_LOGGED_IN, HOME_UNSAFE */
export function readTlsMaterial({ files, profile }: Login): TlsMaterial {
  const key = readPrivateFile(files.tlsKey);
  const certificate = readFileIfThere(files.tlsCertificate);
  const ca = readFileIfThere(files.ca);
  if (key === undefined || certificate === undefined || ca === undefined) {
    throw cliError('NOT_LOGGED_IN', { details: { proxy: profile.proxy } });
  }
  return { key, certificate, ca };
}

function decodeProfile(value: unknown): Profile | undefined {
  if (!isRecord(value) || value['version'] !== 1) return undefined;
  const { proxy, cluster, user, validUntil, loginId } = value;
  if (typeof proxy !== 'string' || typeof cluster !== 'string' || typeof user !== 'string')
    return undefined;
  if (typeof validUntil !== 'string' || Number.isNaN(Date.parse(validUntil))) return undefined;
  return {
    proxy,
    cluster,
    user,
    validUntil,
    roles: textList(value['roles']),
    traits: decodeTraits(value['traits']),
    logins: textList(value['logins']),
    mfaVerified: value['mfaVerified'] === true,
    activeRequests: textList(value['activeRequests']),
    loginId: typeof loginId === 'string' ? loginId : '',
  };
}

function decodeTraits(value: unknown): Profile['traits'] {
  if (!isRecord(value)) return {};
  return Object.fromEntries(
    Object.entries(value).map(([name, values]) => [name, textList(values)]),
  );
}

/** As `gate status` and `gate login` show it. */
export function describeLogin({ profile, files }: Login): Readonly<Record<string, unknown>> {
  return {
    ...profile,
    sshKeyFile: files.sshKey,
    sshCertFile: files.sshCertificate,
    tlsKeyFile: files.tlsKey,
    tlsCertFile: files.tlsCertificate,
    caFile: files.ca,
    knownHostsFile: files.knownHosts,
    sshConfigFile: files.sshConfig,
  };
}
