/** The process: command line, signals and exit codes (0 done, 1 failed, 2 wrong usage). */
import { toGatehouseError } from '@gatehouse/kit/errors';
import { runService } from '@gatehouse/kit/lifecycle';
import { createLogger } from '@gatehouse/kit/log';

import { createAgent } from './agent.js';
import { readCommand } from './command-line.js';

const command = readCommand(process.argv.slice(2));
if (command.type === 'done') {
  process[command.exitCode === 0 ? 'stdout' : 'stderr'].write(command.text);
  process.exitCode = command.exitCode;
} else {
  const logger = createLogger({ name: 'agent', level: command.logLevel });
  const start = async () => {
    try {
      return await createAgent(command.options, { logger });
    } catch (thrown) {
      const { publicMessage, remedy, id } = toGatehouseError(thrown);
      const fix = remedy === undefined ? '' : `  fix: ${remedy}\n`;
      process.stderr.write(`gate-agent: ${publicMessage}\n${fix}  id: ${id}\n`);
      throw thrown;
    }
  };
  process.exitCode = await runService(start, { logger });
}
