/** Inputs that are kept: those that once found something, and those that other programs made. */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { systemErrorCode } from '@gatehouse/kit/errors';

import { corpusName, type FuzzTarget } from './fuzz.js';

const root = fileURLToPath(new URL('../corpus/', import.meta.url));

/** All kept inputs of a target, by file name. @param folder default e2e/corpus */
export async function readCorpus(
  target: Pick<FuzzTarget, 'name'>,
  folder = root,
): Promise<Buffer[]> {
  const path = join(folder, corpusName(target));
  let names: string[];
  try {
    names = await readdir(path);
  } catch (thrown) {
    if (systemErrorCode(thrown) === 'ENOENT') return [];
    throw thrown;
  }
  return Promise.all(names.toSorted().map((name) => readFile(join(path, name))));
}

/** Keeps an input, to be run first from now on once it is committed. Returns its path. */
export async function keepInput(
  target: Pick<FuzzTarget, 'name'>,
  input: Buffer,
  folder = root,
): Promise<string> {
  const path = join(folder, corpusName(target));
  await mkdir(path, { recursive: true });
  const file = join(path, `found-${createHash('sha256').update(input).digest('hex').slice(0, 16)}`);
  await writeFile(file, input);
  return file;
}
