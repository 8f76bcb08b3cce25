/**
 * Puts a new login in place of the present one: all files into a new folder, then one rename of the link `current`.
 * Whoever looks sees the old login or the new one, never a mixture; a process killed in between leaves the old one.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { basename, join } from 'node:path';

import { cliError } from '../errors.js';
import { reasonOf, writeNewFile } from './files.js';
import { clusterFolder, filesIn, loginFiles } from './paths.js';
import type { Login, Profile } from './profile.js';

/** Contents of a login's files. */
export interface LoginContents {
  readonly profile: Profile;
  /** OpenSSH's own format. */
  readonly sshKey: string;
  readonly sshCertificate: string;
  readonly tlsKey: string;
  readonly tlsCertificate: string;
  readonly ca: string;
  readonly knownHosts: string;
  readonly sshConfig: string;
}

const folderPrefix = 'login-';

/** @throws FILE_UNWRITABLE */
export function storeLogin(home: string, contents: LoginContents): Login {
  const parent = clusterFolder(home, contents.profile.proxy);
  const name = `${folderPrefix}${randomBytes(8).toString('hex')}`;
  const folder = join(parent, name);
  const files = filesIn(folder);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    writeNewFile(files.sshKey, contents.sshKey);
    writeNewFile(files.sshCertificate, contents.sshCertificate);
    writeNewFile(files.tlsKey, contents.tlsKey);
    writeNewFile(files.tlsCertificate, contents.tlsCertificate);
    writeNewFile(files.ca, contents.ca);
    writeNewFile(files.knownHosts, contents.knownHosts);
    writeNewFile(files.sshConfig, contents.sshConfig);
    writeNewFile(
      files.profile,
      `${JSON.stringify({ version: 1, ...contents.profile }, null, 2)}\n`,
    );
    const link = join(parent, `${name}.link`);
    symlinkSync(name, link);
    renameSync(link, join(parent, 'current'));
  } catch (thrown) {
    rmSync(folder, { recursive: true, force: true });
    throw cliError('FILE_UNWRITABLE', {
      details: { path: folder, why: reasonOf(thrown) },
      cause: thrown,
    });
  }
  removeOthers(parent, name);
  return { profile: contents.profile, files: loginFiles(home, contents.profile.proxy) };
}

/** Removes the login at a cluster, keys first, and those of its databases. */
export function removeLogin(home: string, proxy: string): void {
  const parent = clusterFolder(home, proxy);
  rmSync(join(parent, 'current'), { force: true });
  rmSync(join(parent, 'databases'), { recursive: true, force: true });
  removeOthers(parent, undefined);
}

/** Also what a killed process left behind. */
function removeOthers(parent: string, keep: string | undefined): void {
  for (const name of namesIn(parent)) {
    if (name.startsWith(folderPrefix) && name !== keep) {
      rmSync(join(parent, name), { recursive: true, force: true });
    }
  }
}

function namesIn(parent: string): string[] {
  try {
    return readdirSync(parent);
  } catch {
    return [];
  }
}

/** Name of the folder that `current` leads to, for tests and diagnosis. */
export function currentFolder(home: string, proxy: string): string | undefined {
  try {
    return basename(readlinkSync(join(clusterFolder(home, proxy), 'current')));
  } catch {
    return undefined;
  }
}
