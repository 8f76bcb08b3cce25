import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';

import { withAdministration } from '../cluster/clients.js';
import { defineCommand, exitCodes, type GlobalCall } from '../command.js';
import { applyAndShow } from '../documents/apply.js';
import {
  formatDocument,
  parseDocument,
  parseDocumentFile,
  parseFullReference,
} from '../documents/document.js';
import { cliError } from '../errors.js';
import { findProgram } from '../find-program.js';
import { readNamedFile, writeFileWhole } from '../profile/files.js';
import { findHome } from '../profile/paths.js';
import { runForeground } from '../run-foreground.js';

/** `gate edit` */
export const command = defineCommand({
  name: 'edit',
  usage: 'KIND/NAME',
  summary: 'change a document in an editor',
  help: {
    examples: [
      'gate edit role/dev',
      'EDITOR=nano gate edit user/bob',
      'gate edit role/dev --format json',
    ],
    notes: [
      'The editor is $VISUAL, else $EDITOR, else vi. Nothing is changed if the text stays as it was.',
    ],
  },
  options: {},
  arguments: { min: 1, max: 1 },
  async run(call) {
    const reference = parseFullReference(call.arguments[0] ?? '');
    const { documentJson } = await withAdministration(call, (client) =>
      client.getDocument(reference),
    );
    const before = formatDocument(parseDocument(documentJson));
    const home = findHome({ variables: call.environment.variables, home: call.options.home });
    const file = join(home, `edit-${randomBytes(6).toString('hex')}.yaml`);
    writeFileWhole(file, before);
    const code = await runEditor(call, file);
    const after = readNamedFile(file);
    if (code !== 0) throw editorFailed(file, after === before);
    if (after === before) call.environment.stderr.write('unchanged\n');
    else await applyEdited(call, file, after);
    rmSync(file, { force: true });
    return exitCodes.done;
  },
});

/** What was typed is kept where it could not be applied. */
async function applyEdited(call: GlobalCall, file: string, text: string): Promise<void> {
  try {
    await applyAndShow(call, {
      documents: parseDocumentFile(text, 'the edited text'),
      dryRun: false,
    });
  } catch (thrown) {
    call.environment.stderr.write(`the edited text is kept in ${file}\n`);
    throw thrown;
  }
}

/** Nothing is applied then; what was typed is kept. */
function editorFailed(file: string, isUnchanged: boolean): Error {
  if (isUnchanged) rmSync(file, { force: true });
  const where = isUnchanged ? 'nothing was changed' : `the text is kept in ${file}`;
  return cliError('EDITOR_FAILED', { details: { where } });
}

/** The variable may hold arguments, so a shell reads it, as every program does that starts an editor. */
async function runEditor({ environment }: GlobalCall, file: string): Promise<number> {
  const editor = environment.variables['VISUAL'] ?? environment.variables['EDITOR'] ?? 'vi';
  const shell = findProgram('sh', environment.variables['PATH']) ?? '/bin/sh';
  return runForeground(shell, ['-c', `${editor} "$1"`, 'sh', file]);
}
