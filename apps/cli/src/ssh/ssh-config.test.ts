import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { createTestFolder } from '../testing.js';
import {
  formatKnownHosts,
  formatSshConfig,
  formatSshInclude,
  quoteForShell,
} from './ssh-config.js';

const optionsIn = (folder: string) => ({
  programPath: join(folder, 'bin', 'gate'),
  home: join(folder, 'home'),
  proxy: 'localhost:8443',
  cluster: 'home',
  files: {
    sshKey: join(folder, 'ssh_key'),
    sshCertificate: join(folder, 'ssh_key-cert.pub'),
    knownHosts: join(folder, 'known_hosts'),
  },
});

/** What stock OpenSSH makes of a configuration, without connecting. */
function askSsh(file: string, host: string): Record<string, string> {
  const text = execFileSync('ssh', ['-G', '-F', file, host], { encoding: 'utf8' });
  return Object.fromEntries(
    text.split('\n').map((line) => [line.split(' ')[0] ?? '', line.slice(line.indexOf(' ') + 1)]),
  );
}

describe('formatSshConfig', () => {
  it.each(['plain', 'with space', "it's", '100%h', 'quo"te', 'dol$lar'])(
    'is read by OpenSSH as meant, in a folder named %j',
    (name) => {
      using folder = createTestFolder();
      const root = join(folder.path, name);
      mkdirSync(root);
      const file = join(root, 'config');
      writeFileSync(file, formatSshConfig(optionsIn(root)));
      const settings = askSsh(file, 'deploy@web-1');
      expect(settings).toMatchObject({
        identitiesonly: 'yes',
        forwardagent: 'no',
        stricthostkeychecking: 'true',
        globalknownhostsfile: '/dev/null',
        identityfile: join(root, 'ssh_key').replaceAll('%', '%%'),
        certificatefile: join(root, 'ssh_key-cert.pub').replaceAll('%', '%%'),
      });
      expect(settings['userknownhostsfile']?.replaceAll('"', '').replaceAll('%%', '%')).toContain(
        join(root, 'known_hosts').replaceAll('"', ''),
      );
    },
  );

  it.each(['plain', 'with space', "it's", '100%h', 'dol$lar', 'semi;colon'])(
    'runs the program with the words meant, in a folder named %j',
    (name) => {
      using folder = createTestFolder();
      const root = join(folder.path, name);
      mkdirSync(join(root, 'bin'), { recursive: true });
      const file = join(root, 'config');
      writeFileSync(
        join(root, 'bin', 'gate'),
        '#!/bin/sh\nprintf "%s\\n" "$@" >"$(dirname "$0")/words"\n',
        { mode: 0o755 },
      );
      writeFileSync(file, formatSshConfig(optionsIn(root)));
      expect(() =>
        execFileSync('ssh', ['-F', file, 'deploy@web-1', 'true'], { stdio: 'ignore' }),
      ).toThrow();
      const words = execFileSync('cat', [join(root, 'bin', 'words')], { encoding: 'utf8' })
        .trimEnd()
        .split('\n');
      expect(words).toEqual([
        'proxy',
        'ssh',
        '--home',
        join(root, 'home'),
        '--proxy',
        'localhost:8443',
        '--host',
        'web-1',
        '--port',
        '22',
        '--user',
        'deploy',
      ]);
    },
  );
});

describe('formatSshInclude', () => {
  it('leaves other hosts alone', () => {
    using folder = createTestFolder();
    const file = join(folder.path, 'config');
    writeFileSync(file, formatSshInclude(optionsIn(folder.path)));
    expect(askSsh(file, 'web-1.home')['proxycommand']).toContain('proxy ssh');
    expect(askSsh(file, 'web-1')['proxycommand']).toBeUndefined();
    expect(askSsh(file, 'github.com')['proxycommand']).toBeUndefined();
  });
});

describe('formatKnownHosts', () => {
  it('holds a line per authority and nothing else', () => {
    expect(formatKnownHosts(['ssh-ed25519 AAAA host_ssh comment\n', 'ssh-ed25519 BBBB'])).toBe(
      '@cert-authority * ssh-ed25519 AAAA\n@cert-authority * ssh-ed25519 BBBB\n',
    );
  });
});

describe('quoteForShell', () => {
  it.each(['plain', 'a b', "it's", '$(id)', '`id`', 'a\nb', '"', '\\', ';', '*', ''])(
    'makes a shell print %j unchanged',
    (word) => {
      const printed = execFileSync('sh', ['-c', `printf %s ${quoteForShell(word)}`], {
        encoding: 'utf8',
      });
      expect(printed).toBe(word);
    },
  );
});
