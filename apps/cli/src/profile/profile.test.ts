import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { createTestFolder } from '../testing.js';
import { parseProxyAddress } from './address.js';
import {
  checkHome,
  readPrivateFile,
  reserveFile,
  writeFileWhole,
  writePiecesWhole,
} from './files.js';
import {
  chooseCluster,
  readKnownClusters,
  rememberCluster,
  rememberLastCluster,
} from './known-clusters.js';
import { clusterFolder, findHome, knownClustersFile } from './paths.js';
import { findLogin, readLogin, readTlsMaterial } from './profile.js';
import { currentFolder, removeLogin, storeLogin, type LoginContents } from './store-login.js';

const contents = (user: string): LoginContents => ({
  profile: {
    proxy: 'localhost:8443',
    cluster: 'home',
    user,
    roles: ['dev'],
    traits: { logins: ['deploy'] },
    logins: ['deploy'],
    validUntil: '2026-11-25T12:00:00Z',
    mfaVerified: true,
    activeRequests: [],
    loginId: 'lgn_1',
  },
  sshKey: `ssh key of ${user}`,
  sshCertificate: 'ssh certificate',
  tlsKey: `tls key of ${user}`,
  tlsCertificate: 'tls certificate',
  ca: 'ca',
  knownHosts: '@cert-authority * x',
  sshConfig: 'Host *',
});

describe('checkHome', () => {
  it('makes the directory for its owner alone, and accepts it then', () => {
    using folder = createTestFolder();
    const home = join(folder.path, 'a', 'home');
    expect(checkHome(home, false)).toBe(false);
    expect(checkHome(home, true)).toBe(true);
    expect(statSync(home).mode & 0o777).toBe(0o700);
  });

  it.each([0o777, 0o770, 0o755, 0o701])('refuses a directory with mode %o', (mode) => {
    using folder = createTestFolder();
    chmodSync(folder.path, mode);
    expect(() => checkHome(folder.path, true)).toThrow('permissions are too open');
    chmodSync(folder.path, 0o700);
    expect(checkHome(folder.path, true)).toBe(true);
  });

  // Somebody who may write beside the home could lead the program to a folder of theirs.
  it('refuses a symbolic link', () => {
    using folder = createTestFolder();
    mkdirSync(join(folder.path, 'real'), { mode: 0o700 });
    symlinkSync('real', join(folder.path, 'link'));
    expect(() => checkHome(join(folder.path, 'link'), true)).toThrow('permissions are too open');
  });

  it('refuses a directory of another user', () => {
    using folder = createTestFolder();
    const isRoot = process.getuid?.() === 0;
    if (isRoot) chownSync(folder.path, 12_345, 12_345);
    const others = isRoot ? folder.path : '/etc';
    expect(() => checkHome(others, false)).toThrow('permissions are too open');
  });

  it('never looks into the current folder', () => {
    expect(findHome({ variables: { GATE_HOME: '' } })).toMatch(/\/\.gatehouse$/);
    expect(findHome({ variables: { GATE_HOME: '/x' }, home: '/y' })).toBe('/y');
  });
});

describe('storeLogin', () => {
  it('writes every file for its owner alone, and finds them again', () => {
    using folder = createTestFolder();
    const { files } = storeLogin(folder.path, contents('alice'));
    for (const path of [
      files.sshKey,
      files.tlsKey,
      files.profile,
      files.ca,
      files.knownHosts,
      files.sshConfig,
    ]) {
      expect(statSync(path).mode & 0o777).toBe(0o600);
    }
    const login = readLogin(folder.path, 'localhost:8443');
    expect(login.profile).toEqual(contents('alice').profile);
    expect(readTlsMaterial(login)).toEqual({
      key: 'tls key of alice',
      certificate: 'tls certificate',
      ca: 'ca',
    });
  });

  it('puts a new login in the place of the old one at once, under the same names', () => {
    using folder = createTestFolder();
    const first = storeLogin(folder.path, contents('alice'));
    const before = currentFolder(folder.path, 'localhost:8443');
    const second = storeLogin(folder.path, contents('bob'));
    expect(second.files).toEqual(first.files);
    expect(currentFolder(folder.path, 'localhost:8443')).not.toBe(before);
    expect(readFileSync(first.files.sshKey, 'utf8')).toBe('ssh key of bob');
    expect(readdirSync(clusterFolder(folder.path, 'localhost:8443')).length).toBe(2);
  });

  it('leaves the old login and no half of a new one where it can not write', () => {
    using folder = createTestFolder();
    storeLogin(folder.path, contents('alice'));
    const parent = clusterFolder(folder.path, 'localhost:8443');
    const broken = {
      ...contents('bob'),
      get sshConfig(): string {
        throw new Error('disk full');
      },
    };
    expect(() => storeLogin(folder.path, broken)).toThrow('can not write');
    expect(readdirSync(parent).length).toBe(2);
    expect(findLogin(folder.path, 'localhost:8443')?.profile.user).toBe('alice');
  });

  it('clears what a killed process left, and everything at logout', () => {
    using folder = createTestFolder();
    const parent = clusterFolder(folder.path, 'localhost:8443');
    mkdirSync(join(parent, 'login-dead'), { recursive: true });
    storeLogin(folder.path, contents('alice'));
    expect(readdirSync(parent)).not.toContain('login-dead');
    removeLogin(folder.path, 'localhost:8443');
    expect(readdirSync(parent)).toEqual([]);
    expect(findLogin(folder.path, 'localhost:8443')).toBeUndefined();
  });

  it('refuses a key that others could read', () => {
    using folder = createTestFolder();
    const { files } = storeLogin(folder.path, contents('alice'));
    chmodSync(files.tlsKey, 0o644);
    expect(() => readPrivateFile(files.tlsKey)).toThrow('permissions are too open');
  });

  it('says what to do with a profile it can not read', () => {
    using folder = createTestFolder();
    const { files } = storeLogin(folder.path, contents('alice'));
    writeFileSync(files.profile, '{"version": 1');
    expect(() => findLogin(folder.path, 'localhost:8443')).toThrow('not what gate wrote there');
  });
});

describe('known clusters', () => {
  it('reads what standalone noted, and keeps it beside others', () => {
    using folder = createTestFolder();
    writeFileSync(
      knownClustersFile(folder.path),
      '{"version":1,"clusters":[{"proxyAddr":"localhost:8443","caPin":"sha256:aa"},{"bad":1},7]}',
    );
    rememberCluster(folder.path, {
      proxyAddr: 'gate.example.com:443',
      clusterName: 'work',
      caPins: [],
    });
    expect(readKnownClusters(folder.path)).toEqual([
      { proxyAddr: 'localhost:8443', caPins: ['sha256:aa'] },
      { proxyAddr: 'gate.example.com:443', clusterName: 'work', caPins: [] },
    ]);
  });

  it('chooses the flag, the variable, the last one, the only one, in this order', () => {
    using folder = createTestFolder();
    const choose = (variables: Record<string, string>, option?: string) =>
      chooseCluster(folder.path, variables, option).text;
    expect(() => choose({})).toThrow('--proxy HOST:PORT');
    rememberCluster(folder.path, { proxyAddr: 'a:1', caPins: [] });
    expect(choose({})).toBe('a:1');
    rememberCluster(folder.path, { proxyAddr: 'b:2', caPins: [] });
    expect(() => choose({})).toThrow('--proxy HOST:PORT');
    rememberLastCluster(folder.path, 'b:2');
    expect(choose({})).toBe('b:2');
    expect(choose({ GATE_PROXY: 'c:3' })).toBe('c:3');
    expect(choose({ GATE_PROXY: 'c:3' }, 'https://D:4/')).toBe('d:4');
  });
});

describe('parseProxyAddress', () => {
  it.each([
    ['localhost:8443', 'localhost', 8443],
    ['Gate.Example.com', 'gate.example.com', 443],
    ['[::1]:8443', '::1', 8443],
    ['127.0.0.1:1', '127.0.0.1', 1],
  ])('reads %s', (text, host, port) => {
    expect(parseProxyAddress(text)).toMatchObject({ host, port });
  });

  it.each(['', 'a:0', 'a:70000', 'a b:1', 'http://a:1', 'user@a:1', 'a:1/path', ':1'])(
    'refuses %j',
    (text) => {
      expect(() => parseProxyAddress(text)).toThrow('no address');
    },
  );
});

describe('writing files', () => {
  it('leaves the old file where the new one can not be made whole', async () => {
    using folder = createTestFolder();
    const file = join(folder.path, 'x');
    writeFileWhole(file, 'old');
    const pieces = async function* () {
      yield 'half';
      throw new Error('cut off');
    };
    await expect(writePiecesWhole(file, pieces())).rejects.toThrow('cut off');
    expect(readFileSync(file, 'utf8')).toBe('old');
    expect(readdirSync(folder.path)).toEqual(['x']);
    expect(() => writeFileWhole(join(folder.path, 'no', 'x'), '')).toThrow(
      'there is no such directory',
    );
  });

  it('knows before there is anything to write that it can not be written', () => {
    using folder = createTestFolder();
    expect(() => reserveFile(folder.path)).toThrow('it is a directory');
    expect(() => reserveFile(join(folder.path, 'no', 'x'))).toThrow('there is no such directory');
    const file = join(folder.path, 'x');
    {
      using unwritten = reserveFile(file);
      expect(unwritten).toBeDefined();
      expect(readdirSync(folder.path)).toHaveLength(1);
    }
    expect(readdirSync(folder.path)).toEqual([]);
    using written = reserveFile(file);
    written.write('all of it');
    expect(readFileSync(file, 'utf8')).toBe('all of it');
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });
});
