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
 * Directions that a request needs and the role does not allow. READ and WRITE need none: their handle comes from an OPEN
 * that was decided.
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
  if (changes.has(request.type)) return ['upload'];
  if (request.extension === undefined || harmlessExtensions.has(request.extension)) return [];
  return changingExtensions.has(request.extension) ? ['upload'] : ['upload', 'download'];
}

function openDirections(flags: number): Direction[] {
  const writes = openFlag.write | openFlag.append | openFlag.create | openFlag.truncate;
  const directions: Direction[] = [];
  if ((flags & writes) !== 0) directions.push('upload');
  if ((flags & openFlag.read) !== 0 || (flags & writes) === 0) directions.push('download');
  return directions;
}
