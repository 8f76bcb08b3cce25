import { sleep } from '@gatehouse/kit/clock';
import { playRecording } from '@gatehouse/recording';

import { defineCommand, exitCodes } from '../command.js';
import { usageError } from '../errors.js';
import { parseDurationOption } from '../options.js';
import { writeAll } from '../output/write-all.js';
import { withFrames } from '../recordings/with-frames.js';

/** Longest pause that is played unless told otherwise. */
const defaultIdleMs = 2000;

/** `gate recordings play` */
export const command = defineCommand({
  name: 'recordings play',
  usage: 'ID [--speed N] [--idle 2s]',
  summary: 'play a recording in this terminal',
  help: {
    examples: [
      'gate recordings play rec_…',
      'gate recordings play ses_… --speed 4',
      'gate recordings play rec_… --idle 500ms',
    ],
    notes: [
      'Only what draws on the screen is let through. Without a terminal nothing is waited for.',
    ],
  },
  options: {
    speed: { type: 'text', value: 'N', help: 'so many times as fast; default 1' },
    idle: { type: 'text', value: '2s', help: 'longest pause; default 2s' },
  },
  arguments: { min: 1, max: 1 },
  async run(call) {
    const { environment, options } = call;
    const speed = Number(options.speed ?? '1');
    if (!(speed > 0 && speed <= 1000)) throw usageError('--speed is a number from 0.1 to 1000');
    const maxIdleMs = parseDurationOption('--idle', options.idle) ?? defaultIdleMs;
    await withFrames(call, call.arguments[0] ?? '', (frames) =>
      playRecording(frames, {
        speed,
        maxIdleMs,
        write: (text) => writeAll(environment.stdout, text),
        wait: sleep,
        isTerminal: environment.stdout.isTTY === true,
      }),
    );
    return exitCodes.done;
  },
});
