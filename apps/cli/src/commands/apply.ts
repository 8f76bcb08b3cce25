import { text as readText } from 'node:stream/consumers';

import { defineCommand, exitCodes } from '../command.js';
import { applyAndShow } from '../documents/apply.js';
import { parseDocumentFile } from '../documents/document.js';
import { usageError } from '../errors.js';
import { readNamedFile } from '../profile/files.js';

/** `gate apply` */
export const command = defineCommand({
  name: 'apply',
  usage: '-f FILE [--dry-run]',
  summary: 'create or change documents from a YAML or JSON file',
  help: {
    examples: [
      'gate apply -f roles.yaml',
      'gate apply -f roles.yaml --dry-run',
      'cat dev.yaml | gate apply -f -',
    ],
    notes: [
      'All documents of a file or none. metadata.revision, where present, must be the current one.',
    ],
  },
  options: {
    file: { type: 'text', short: 'f', value: 'FILE', help: 'the documents; - for stdin' },
    'dry-run': { type: 'boolean', help: 'check and show the difference, change nothing' },
  },
  arguments: { min: 0, max: 0 },
  async run(call) {
    const { file } = call.options;
    if (file === undefined) throw usageError('-f FILE is missing');
    const text = file === '-' ? await readText(call.environment.stdin) : readNamedFile(file);
    const documents = parseDocumentFile(text, file === '-' ? 'stdin' : file);
    await applyAndShow(call, { documents, dryRun: call.options['dry-run'] });
    return exitCodes.done;
  },
});
