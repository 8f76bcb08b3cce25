import { dirname, join } from 'node:path';

import { caPin, pemToDer } from '@gatehouse/identity';

import { openSession, withAdministration } from '../cluster/clients.js';
import { defineCommand, exitCodes, type GlobalCall } from '../command.js';
import { cliError } from '../errors.js';
import { parseDurationOption, toDuration, parsePairs } from '../options.js';
import { writeJson } from '../output/json.js';
import { formatRelative } from '../output/text.js';
import { quoteForShell } from '../ssh/ssh-config.js';

/** `gate tokens add` */
export const command = defineCommand({
  name: 'tokens add',
  usage: '--type agent [--ttl 30m] [--label KEY=VALUE] [--name GLOB] [--group GROUP]',
  summary: 'make a join token for an agent, for one use',
  help: {
    examples: [
      'gate tokens add --type agent',
      "gate tokens add --type agent --ttl 10m --label env=prod --name 'web-*'",
      'gate tokens add --type agent --group web --format json',
    ],
    notes: [
      'Labels are forced on all targets of the agent; names bound what its targets may be called.',
    ],
  },
  options: {
    type: { type: 'text', value: 'agent', help: 'who joins' },
    ttl: { type: 'text', value: '30m', help: 'how long it can be used' },
    label: { type: 'list', value: 'KEY=VALUE', help: 'forced on all its targets' },
    name: { type: 'list', value: 'GLOB', help: 'names that its targets may have' },
    group: { type: 'text', value: 'GROUP', help: 'agent group, for replicas of one agent' },
  },
  arguments: { min: 0, max: 0 },
  async run(call) {
    const { environment, options } = call;
    if ((options.type ?? 'agent') !== 'agent') {
      throw cliError('NOT_YET', { details: { what: `a token of type ${options.type}` } });
    }
    const ttlMs = parseDurationOption('--ttl', options.ttl);
    const labels = parsePairs('--label', options.label);
    const { token, expiresAt } = await withAdministration(call, (client) =>
      client.createJoinToken({
        labels,
        names: [...options.name],
        group: options.group ?? '',
        ...(ttlMs === undefined ? {} : { ttl: toDuration(ttlMs) }),
      }),
    );
    const joinCommand = formatJoinCommand(call, token);
    if (options.format === 'json') {
      writeJson(environment, {
        token,
        expiresAt: expiresAt?.toISOString() ?? null,
        command: joinCommand,
      });
      return exitCodes.done;
    }
    environment.stdout.write(`${joinCommand}\n`);
    const until =
      expiresAt === undefined
        ? ''
        : `, ${formatRelative(expiresAt.getTime(), environment.clock.now())}`;
    environment.stderr.write(`for one use${until}; it is not shown again\n`);
    return exitCodes.done;
  },
});

/** A line that any shell reads as these words, whatever is in them (LIM-06). */
function formatJoinCommand(call: GlobalCall, token: string): string {
  const { address, target } = openSession(call);
  const [ca] = pemToDer(target.ca);
  const words = [
    join(dirname(call.environment.programPath), 'gate-agent'),
    '--proxy',
    address.text,
    ...(ca === undefined ? [] : ['--ca-pin', caPin(ca)]),
    '--token',
    token,
    '--data-dir',
    'gatehouse-agent',
  ];
  return words.map(quoteForShell).join(' ');
}
