import { withAdministration } from '../cluster/clients.js';
import { defineCommand, exitCodes } from '../command.js';
import {
  formatDocument,
  parseDocument,
  parseReference,
  type Document,
} from '../documents/document.js';
import { writeJson } from '../output/json.js';

/** `gate get` */
export const command = defineCommand({
  name: 'get',
  usage: 'KIND[/NAME]',
  summary: 'show documents: users, roles, nodes, locks, …',
  help: {
    examples: [
      'gate get role/dev',
      'gate get roles',
      'gate get role/dev > dev.yaml && gate apply -f dev.yaml',
    ],
    notes: ['YAML, or JSON with --format json: one document for KIND/NAME, a list for KIND.'],
  },
  options: {},
  arguments: { min: 1, max: 1 },
  async run(call) {
    const { environment, options } = call;
    const { kind, name } = parseReference(call.arguments[0] ?? '');
    const isJson = options.format === 'json';
    if (name !== undefined) {
      const { documentJson } = await withAdministration(call, (client) =>
        client.getDocument({ kind, name }),
      );
      const document = parseDocument(documentJson);
      if (isJson) writeJson(environment, document);
      else environment.stdout.write(formatDocument(document));
      return exitCodes.done;
    }
    const documents = await withAdministration(call, async (client) => {
      const found: Document[] = [];
      let pageToken = '';
      do {
        const page = await client.listDocuments({ kind, pageSize: 500, pageToken });
        found.push(...page.documentsJson.map(parseDocument));
        pageToken = page.nextPageToken;
      } while (pageToken !== '');
      return found;
    });
    if (isJson) writeJson(environment, documents);
    else if (documents.length === 0) environment.stderr.write(`no document of kind ${kind}\n`);
    else environment.stdout.write(documents.map(formatDocument).join('---\n'));
    return exitCodes.done;
  },
});
