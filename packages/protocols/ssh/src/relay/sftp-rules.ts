/** What SFTP requests do to files, and which direction of transfer they need. */
import type { RoleOptions } from '@gatehouse/policy';

import { openFlag, sftpType, type SftpRequest } from '../wire/sftp.js';
import { allowsDirection, type Direction } from './transfer-rules.js';

/** An operation that changes something without moving a file's bytes. */
export interface FileChange {
  readonly operation: string;
  readonly path: Buffer;
  readonly otherPath?: Buffer;
}

const changes: ReadonlyMap<number, string> = new Map([
  [sftpType.setstat, 'setstat'],
  [sftpType.fsetstat, 'setstat'],
  [sftpType.remove, 'remove'],
  [sftpType.mkdir, 'mkdir'],
  [sftpType.rmdir, 'rmdir'],
  [sftpType.rename, 'rename'],
  [sftpType.symlink, 'symlink'],
]);

const changingExtensions: ReadonlyMap<string, string> = new Map([
  ['posix-rename@openssh.com', 'rename'],
  ['hardlink@openssh.com', 'hardlink'],
  ['lsetstat@openssh.com', 'setstat'],
]);

/** Extensions that move no file's content; with one direction only, no other one passes. */
const harmlessExtensions = new Set([
  'statvfs@openssh.com',
  'fstatvfs@openssh.com',
  'fsync@openssh.com',
  'limits@openssh.com',
  'expand-path@openssh.com',
  'home-directory',
  'users-groups-by-id@openssh.com',
]);

/** The change that a request makes, or undefined. `handlePath` is the path of the request's handle. */
export function changeOf(request: SftpRequest, handlePath?: Buffer): FileChange | undefined {
  const operation =
    request.extension === undefined
      ? changes.get(request.type)
      : changingExtensions.get(request.extension);
  const path = request.path ?? handlePath;
  if (operation === undefined || path === undefined) return undefined;
  return {
    operation,
    path: Buffer.from(path),
    ...(request.otherPath && { otherPath: Buffer.from(request.otherPath) }),
  };
}

/**
 * Directions that a request needs and the role does not allow. READ and WRITE are decided like OPEN: servers open a file
 * in ways its flags do not say, and the role may have changed since.
 */
export function deniedDirections(
  request: SftpRequest,
  option: RoleOptions['fileTransfer'],
): Direction[] {
  if (option === 'both') return [];
  return neededDirections(request).filter((direction) => !allowsDirection(option, direction));
}

function neededDirections(request: SftpRequest): Direction[] {
  if (request.type === sftpType.open) return openDirections(request.flags ?? 0);
  if (request.type === sftpType.read) return ['download'];
  if (request.type === sftpType.write) return ['upload'];
  if (changes.has(request.type)) return ['upload'];
  if (request.extension === undefined || harmlessExtensions.has(request.extension)) return [];
  return changingExtensions.has(request.extension) ? ['upload'] : ['upload', 'download'];
}

/** Without the flag for writing, servers open for reading, whatever else is asked for. */
export function openDirections(flags: number): Direction[] {
  const changing = openFlag.write | openFlag.append | openFlag.create | openFlag.truncate;
  const isReadable = (flags & openFlag.read) !== 0 || (flags & openFlag.write) === 0;
  return [
    ...((flags & changing) === 0 ? [] : (['upload'] as const)),
    ...(isReadable ? (['download'] as const) : []),
  ];
}
