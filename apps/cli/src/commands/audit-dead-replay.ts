import { listDeadLetters, replayDeadLetters } from '../audit/dead-letters.js';
import { withAudit } from '../cluster/clients.js';
import { defineCommand, exitCodes } from '../command.js';
import { usageError } from '../errors.js';
import { writeJson } from '../output/json.js';
import { createProgress } from '../output/progress.js';
import { describeError, formatError } from '../output/report-error.js';
import { confirm } from '../terminal.js';

const maxLetters = 100_000;

/** `gate audit dead replay` */
export const command = defineCommand({
  name: 'audit dead replay',
  usage: 'ID | --all [--yes]',
  summary: 'put records that could not be stored back on their topic',
  help: {
    examples: [
      'gate audit dead replay gatehouse.audit.v1/3/17',
      'gate audit dead replay --all --yes',
      'gate audit dead ls',
    ],
    notes: [
      'For when what refused them is mended; what is refused again is a new dead letter. For who may update events.',
    ],
  },
  options: {
    all: { type: 'boolean', help: 'all that were not put back yet' },
    yes: { type: 'boolean', help: 'do not ask' },
  },
  arguments: { min: 0, max: 1 },
  async run(call) {
    const { environment, options } = call;
    const [id] = call.arguments;
    if ((id === undefined) !== options.all)
      throw usageError('give either an ID or --all', 'gate audit dead ls');
    await confirm(environment, id === undefined ? 'put all back' : `put ${id} back`, options.yes);
    using progress = createProgress(environment, 'records');
    const { replayed, refused } = await withAudit(call, async (client) => {
      const wanted = { withReplayed: false, limit: maxLetters };
      const ids =
        id === undefined ? (await listDeadLetters(client, wanted)).map((one) => one.id) : [id];
      return replayDeadLetters(client, ids, () => progress.add(1));
    });
    const [only] = refused;
    if (id !== undefined && only !== undefined) throw only.error;
    const errors = refused.map((one) => ({ id: one.id, error: describeError(one.error) }));
    if (options.format === 'json')
      writeJson(environment, { replayed, ...(errors.length > 0 && { refused: errors }) });
    else {
      for (const { error } of errors) environment.stderr.write(formatError(error));
      environment.stdout.write(`${replayed.length} put back\n`);
    }
    return errors.length === 0 ? exitCodes.done : exitCodes.failed;
  },
});
