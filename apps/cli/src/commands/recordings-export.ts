import { resolve } from 'node:path';

import { toAsciicast, toText, type Frame } from '@gatehouse/recording';

import { defineCommand, exitCodes } from '../command.js';
import { usageError } from '../errors.js';
import { writeJson } from '../output/json.js';
import { writeAll } from '../output/write-all.js';
import { writePiecesWhole } from '../profile/files.js';
import { withFrames } from '../recordings/with-frames.js';

const formats: Readonly<Record<string, (frames: AsyncIterable<Frame>) => AsyncIterable<string>>> = {
  asciicast: toAsciicast,
  text: toText,
};

/** `gate recordings export` */
export const command = defineCommand({
  name: 'recordings export',
  usage: 'ID [--as asciicast|text] [--output FILE]',
  summary: 'convert a recording to a file that other programs read',
  help: {
    examples: [
      'gate recordings export rec_… > session.cast',
      'gate recordings export rec_… --as text --output session.txt',
      'gate recordings export ses_…   # its first recording',
    ],
    notes: [
      'asciicast is version 2, as asciinema plays it. text is what stood on the lines in the end.',
    ],
  },
  options: {
    as: { type: 'text', value: 'FORMAT', help: 'asciicast (default) or text' },
    output: {
      type: 'text',
      short: 'o',
      value: 'FILE',
      help: 'write to a file in place of stdout, whole or not at all',
    },
  },
  arguments: { min: 1, max: 1 },
  async run(call) {
    const { environment, options } = call;
    const name = options.as ?? 'asciicast';
    const convert = Object.hasOwn(formats, name) ? formats[name] : undefined;
    if (convert === undefined)
      throw usageError(`--as is ${Object.keys(formats).join(' or ')}, not ${name}`);
    const file = options.output === undefined ? undefined : resolve(options.output);
    await withFrames(call, call.arguments[0] ?? '', async (frames) => {
      if (file !== undefined) return writePiecesWhole(file, convert(frames));
      for await (const piece of convert(frames)) await writeAll(environment.stdout, piece);
    });
    if (file !== undefined && options.format === 'json') writeJson(environment, { file });
    return exitCodes.done;
  },
});
