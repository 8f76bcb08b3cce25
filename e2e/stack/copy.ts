import { createHash } from 'node:crypto';
/** A copy of the tree that a test may add to: sources copied, dependencies linked. */
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { root } from './installation.js';
import { run } from './run.js';

export class TreeCopy implements AsyncDisposable {
  readonly path = mkdtempSync(join(tmpdir(), 'gatehouse-tree-'));

  async create(): Promise<this> {
    const listed = await run('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
      cwd: root,
    });
    for (const file of listed.stdout.trim().split('\n')) {
      if (!existsSync(join(root, file))) continue;
      mkdirSync(dirname(join(this.path, file)), { recursive: true });
      cpSync(join(root, file), join(this.path, file));
    }
    cpSync(join(root, 'packages/proto/src'), join(this.path, 'packages/proto/src'), {
      recursive: true,
    });
    symlinkSync(join(root, 'node_modules'), join(this.path, 'node_modules'));
    symlinkSync(
      join(root, 'tools/runtime/node_modules'),
      join(this.path, 'tools/runtime/node_modules'),
    );
    for (const modules of globSync('{packages,packages/protocols,services,apps}/*/node_modules', {
      cwd: root,
    }).concat('e2e/node_modules')) {
      // Links inside are relative to the tree, so that workspace packages resolve to the copy's own sources.
      cpSync(join(root, modules), join(this.path, modules), {
        recursive: true,
        verbatimSymlinks: true,
      });
    }
    return this;
  }

  /** Adds a protocol folder, and links its dependencies as an install would. */
  addProtocol(name: string, from: string): void {
    const dir = join(this.path, 'packages/protocols', name);
    cpSync(from, dir, { recursive: true });
    const link = (owner: string, dependency: string, target: string) => {
      const place = join(this.path, owner, 'node_modules', dependency);
      mkdirSync(dirname(place), { recursive: true });
      symlinkSync(join(this.path, target), place);
    };
    link(`packages/protocols/${name}`, '@gatehouse/kit', 'packages/kit');
    link(`packages/protocols/${name}`, '@gatehouse/protocol-api', 'packages/protocols/api');
    link(`packages/protocols/${name}`, 'zod', 'packages/kit/node_modules/zod');
    link(
      'packages/protocols/registry',
      `@gatehouse/protocol-${name}`,
      `packages/protocols/${name}`,
    );
  }

  /** The content of every file that is not a dependency, by path. */
  snapshot(): Map<string, string> {
    const files = new Map<string, string>();
    const walk = (dir: string) => {
      for (const entry of readdirSync(join(this.path, dir), { withFileTypes: true })) {
        const path = join(dir, entry.name);
        if (entry.name === 'node_modules' || entry.name === 'dist' || entry.isSymbolicLink())
          continue;
        if (entry.isDirectory()) walk(path);
        else
          files.set(
            path,
            createHash('sha256')
              .update(readFileSync(join(this.path, path)))
              .digest('hex'),
          );
      }
    };
    walk('.');
    return files;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.path, { recursive: true, force: true });
  }
}
