import { describe, expect, it } from 'vitest';

import { namesLogin, splitSshArguments } from './arguments.js';

describe('splitSshArguments', () => {
  it.each([
    ['host', [], 'host', []],
    ['-p 22 deploy@host', ['-p', '22'], 'deploy@host', []],
    ['-p22 -vvv host -t ls -la', ['-p22', '-vvv'], 'host', ['-t', 'ls', '-la']],
    ['-NfL 8080:localhost:80 host', ['-NfL', '8080:localhost:80'], 'host', []],
    ['-o User=x -oPort=1 host -- ls', ['-o', 'User=x', '-oPort=1'], 'host', ['--', 'ls']],
    ['-A -- host cmd', ['-A', '--'], 'host', ['cmd']],
    ['-- -host', ['--'], '-host', []],
    ['-v', ['-v'], undefined, []],
  ])('splits %j', (line, flags, destination, rest) => {
    expect(splitSshArguments(line.split(' '))).toEqual({ own: [], flags, destination, rest });
  });

  it('takes our own long options out before the host, and only there', () => {
    expect(
      splitSshArguments(['--proxy', 'a:1', '-v', '--home=/x', 'host', '--proxy', 'b']),
    ).toEqual({
      own: ['--proxy', 'a:1', '--home=/x'],
      flags: ['-v'],
      destination: 'host',
      rest: ['--proxy', 'b'],
    });
  });

  it('says which option lacks its value', () => {
    expect(() => splitSshArguments(['-p'])).toThrow('-p needs a value');
  });
});

describe('namesLogin', () => {
  it.each([
    ['deploy@host', true],
    ['-l deploy host', true],
    ['-vldeploy host', true],
    ['host', false],
    ['-L 1:l:2 host', false],
  ])('%j: %s', (line, expected) => {
    expect(namesLogin(splitSshArguments(line.split(' ')))).toBe(expected);
  });
});
