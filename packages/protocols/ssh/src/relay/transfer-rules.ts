/** What the role option `file_transfer` allows. */
import type { RoleOptions } from '@gatehouse/policy';

import type { TransferCommand } from '../wire/command.js';

type FileTransfer = RoleOptions['fileTransfer'];
export type Direction = 'upload' | 'download';

export function allowsDirection(option: FileTransfer, direction: Direction): boolean {
  return option === 'both' || option === direction;
}

/** Why a file tool may not start, in the person's words; undefined: it may. */
export function transferDenial(
  transfer: TransferCommand | undefined,
  option: FileTransfer,
): string | undefined {
  if (transfer === undefined) return undefined;
  if (option === 'none') return 'file transfer is not allowed';
  // No honest client sends both flags, and versions of scp differ in which one they obey.
  if (transfer.tool === 'scp' && transfer.direction === undefined)
    return 'scp with both -f and -t is not allowed';
  if (transfer.direction === undefined || allowsDirection(option, transfer.direction))
    return undefined;
  return `${transfer.direction} is not allowed`;
}
