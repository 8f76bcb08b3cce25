import { resolve } from 'node:path';

import { defineCommand, exitCodes } from '../command.js';
import { writeJson } from '../output/json.js';
import { writeFileWhole } from '../profile/files.js';
import { openLocalLogin } from '../profile/local-login.js';
import { findHome } from '../profile/paths.js';
import { formatSshConfig, formatSshInclude, quoteForShell } from '../ssh/ssh-config.js';

/** `gate config` */
export const command = defineCommand({
  name: 'config',
  usage: '[--write FILE] [--include]',
  summary: 'write a configuration for stock OpenSSH',
  help: {
    examples: [
      'gate config --write gate.ssh && ssh -F gate.ssh deploy@web-1',
      'gate config --include >> ~/.ssh/config   # then: ssh deploy@web-1.home',
      'gate config',
    ],
    notes: [
      'Without --include the file is complete and for every host; with it, a block for *.<cluster> alone.',
    ],
  },
  options: {
    write: { type: 'text', value: 'FILE', help: 'write to a file in place of stdout' },
    include: { type: 'boolean', help: "a block for the person's own file" },
  },
  arguments: { min: 0, max: 0 },
  async run(call) {
    const { environment, options } = call;
    const { profile, files } = openLocalLogin(call);
    const home = findHome({ variables: environment.variables, home: options.home });
    const { programPath } = environment;
    const settings = { programPath, home, proxy: profile.proxy, cluster: profile.cluster, files };
    const text = options.include ? formatSshInclude(settings) : formatSshConfig(settings);
    const file = options.write === undefined ? undefined : resolve(options.write);
    if (file !== undefined) writeFileWhole(file, text, 0o600);
    if (options.format === 'json')
      writeJson(environment, file === undefined ? { config: text } : { file });
    else if (file === undefined) environment.stdout.write(text);
    else
      environment.stderr.write(
        `written; try: ssh -F ${quoteForShell(file)} ${exampleHost(options.include, profile)}\n`,
      );
    return exitCodes.done;
  },
});

function exampleHost(
  isInclude: boolean,
  { logins, cluster }: { logins: readonly string[]; cluster: string },
): string {
  return `${logins[0] ?? 'LOGIN'}@HOST${isInclude ? `.${cluster}` : ''}`;
}
