import { readFileSync } from 'node:fs';

import { readServiceCommand } from '@gatehouse/kit/command-line';
import { parseConfig, readYamlFile } from '@gatehouse/kit/config';
import { describe, expect, it } from 'vitest';

import { authCommandLine, authConfigSchema } from '../src/config.js';

const example = new URL('../../../docs/config/auth-service.example.yaml', import.meta.url).pathname;

describe('the configuration', () => {
  it('takes the example file', () => {
    const config = parseConfig(authConfigSchema, readYamlFile(example));
    expect(config.ttl.login).toBe(12 * 3_600_000);
    expect(
      readServiceCommand(authCommandLine, ['--config', example, '--check-config']),
    ).toMatchObject({
      type: 'done',
      exitCode: 0,
    });
  });

  it('names every problem at once with its path', () => {
    const bad = {
      cluster_name: 'A B',
      public_addr: 'x',
      kek_file: 1,
      ttl: { login: 'soon' },
      extra: true,
    };
    expect(() => parseConfig(authConfigSchema, bad)).toThrow(
      expect.objectContaining({
        publicMessage: expect.stringMatching(
          /cluster_name[\s\S]*ttl\.login|ttl\.login[\s\S]*cluster_name/,
        ) as string,
      }) as Error,
    );
  });

  it('refuses a password inside the database URL', () => {
    const config: unknown = readYamlFile(example);
    const database = { url: 'postgres://gatehouse:secret@db:5432/x' };
    expect(() => parseConfig(authConfigSchema, { ...(config as object), database })).toThrow(
      expect.objectContaining({
        publicMessage: expect.stringContaining('database.url') as string,
      }) as Error,
    );
  });

  it('ends with code 2 for what the command line does not know', () => {
    for (const args of [
      [],
      ['serve', '--config', example],
      ['--config', '/nonexistent'],
      ['--unknown'],
      ['--config', example, '--log-level', 'loud'],
    ]) {
      expect(readServiceCommand(authCommandLine, args), args.join(' ')).toMatchObject({
        type: 'done',
        exitCode: 2,
      });
    }
  });

  it('prints no secret', () => {
    const printed = readServiceCommand(authCommandLine, ['--config', example, '--print-config']);
    expect(printed).toMatchObject({ exitCode: 0 });
    expect(readFileSync(example, 'utf8')).toContain('password_file');
  });
});
