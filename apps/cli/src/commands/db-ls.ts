import { defineCommand } from '../command.js';
import { command as ls } from './ls.js';

/** `gate db ls` */
export const command = defineCommand({
  name: 'db ls',
  usage: '[--search TEXT] [KEY=VALUE…]',
  summary: 'list the databases that you can reach',
  help: { examples: ['gate db ls', 'gate db ls env=staging', 'gate db ls --format json'] },
  options: ls.options,
  arguments: { min: 0, max: 19 },
  run: (call) => ls.run({ ...call, arguments: ['dbs', ...call.arguments] }),
});
