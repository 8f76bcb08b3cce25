/** Hands over the secret of a new authenticator: into a file, or to the terminal with a picture to scan. */
import { toString as drawCode } from 'qrcode';

import type { Environment } from '../environment.js';
import { writeFileWhole } from '../profile/files.js';

/** The URI is a secret: it goes to the file (0600) or to stderr, never to stdout. */
export function showSecondFactor(
  environment: Environment,
  uri: string,
  file: string | undefined,
): void {
  if (uri === '') return;
  if (file !== undefined) {
    writeFileWhole(file, `${uri}\n`);
    return;
  }
  const { stderr } = environment;
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
