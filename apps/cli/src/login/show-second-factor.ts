/** Hands over the secret of a new authenticator: into a file, or to the terminal with a picture to scan. */
import { toString as drawCode } from 'qrcode';

import type { Environment } from '../environment.js';
import type { ReservedFile } from '../profile/files.js';

/**
 * The URI is a secret: it goes to the file (0600) or to stderr, never to stdout. It exists nowhere else, so a file that
 * fails sends it to stderr, too.
 * @throws FILE_UNWRITABLE
 */
export function showSecondFactor(
  environment: Environment,
  uri: string,
  file: ReservedFile | undefined,
): void {
  if (uri === '') return;
  if (file === undefined) {
    printUri(environment, uri);
    return;
  }
  try {
    file.write(`${uri}\n`);
  } catch (thrown) {
    printUri(environment, uri);
    throw thrown;
  }
}

function printUri({ stderr }: Environment, uri: string): void {
  if (stderr.isTTY === true) stderr.write(`Scan this with an authenticator:\n${draw(uri)}\n`);
  stderr.write(`Authenticator: ${uri}\n`);
}

/** The picture in half blocks. */
function draw(uri: string): string {
  let picture = '';
  drawCode(uri, { type: 'utf8', errorCorrectionLevel: 'L' }, (_error, text) => {
    picture = text;
  });
  return picture;
}
