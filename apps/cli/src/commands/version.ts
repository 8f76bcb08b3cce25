import { defineCommand, exitCodes } from '../command.js';
import { writeJson } from '../output/json.js';

/** `gate version` */
export const command = defineCommand({
  name: 'version',
  usage: '',
  summary: 'show the version',
  help: { examples: ['gate version', 'gate --version', 'gate version --format json'] },
  options: {},
  arguments: { min: 0, max: 0 },
  async run({ environment, options }) {
    const { version, stdout } = environment;
    if (options.format === 'json') writeJson(environment, { version, node: process.versions.node });
    else stdout.write(`gate ${version}\n`);
    return exitCodes.done;
  },
});
