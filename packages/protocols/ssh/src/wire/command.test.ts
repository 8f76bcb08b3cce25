import { describe, expect, it } from 'vitest';

import { parseTransferCommand } from './command.js';

const parse = (text: string) => parseTransferCommand(Buffer.from(text));

describe('a transfer command', () => {
  it.each([
    ['scp -t /tmp/x', { tool: 'scp', direction: 'upload', path: '/tmp/x' }],
    ['scp -r -p -f -- "/a b"', { tool: 'scp', direction: 'download', path: '/a b' }],
    ['/usr/bin/scp -vrpt .', { tool: 'scp', direction: 'upload', path: '.' }],
    [
      'rsync --server -vlogDtpre.iLsfxCIvu . /dst',
      { tool: 'rsync', direction: 'upload', path: '/dst' },
    ],
    [
      'rsync --server --sender -vlogDtpre.iLsfxCIvu . /src',
      { tool: 'rsync', direction: 'download', path: '/src' },
    ],
    ['scp -f -t /etc/shadow', { tool: 'scp', direction: undefined, path: '/etc/shadow' }],
    ['scp -t -o x -f /etc/shadow', { tool: 'scp', direction: undefined, path: 'x /etc/shadow' }],
    ['scp -t -S -- -f /etc/shadow', { tool: 'scp', direction: undefined, path: '/etc/shadow' }],
    ['scp -t -- -f', { tool: 'scp', direction: 'upload', path: '-f' }],
    ['scp -tf /etc/shadow', { tool: 'scp', direction: undefined, path: '/etc/shadow' }],
    ['/usr/lib/openssh/sftp-server', { tool: 'sftp', direction: undefined, path: '' }],
    ['/usr/lib/openssh/sftp-server\0', { tool: 'sftp', direction: undefined, path: '' }],
    ['scp -t /tmp/x\0', { tool: 'scp', direction: 'upload', path: '/tmp/x' }],
  ])('is seen in %s', (text, expected) => {
    expect(parse(text)).toEqual(expected);
  });

  it.each([
    'scp a b',
    'scp -oIdentityFile=/tmp/f a b',
    'rsync -a x y',
    'ls -t -f',
    'echo scp -t x',
    '',
  ])('is not seen in "%s"', (text) => {
    expect(parse(text)).toBeUndefined();
  });

  it('takes quoted words as the shell does', () => {
    expect(parse(`scp -t 'a'\\''b'"c\\"d"`)?.path).toBe(`a'bc"d`);
  });
});
