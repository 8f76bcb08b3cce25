/**
 * Parses and classifies texts in a thread of its own, one after the other. Only the facts go back: the tree of a hostile
 * text may be deeper than a message can be.
 */
import { registerHooks } from 'node:module';
import { parentPort } from 'node:worker_threads';

import { hasSqlDetails, loadModule, parseSync } from 'libpg-query';

import type { ParsedText } from './facts.js';

/** `ready` once, then for each text its facts, or that the thread can not be used any more. */
export type WorkerMessage = 'ready' | ParsedText | 'broken';

// From source Node strips the types itself, but looks for a file as it is named.
if (import.meta.url.endsWith('.ts')) {
  registerHooks({
    resolve(specifier, context, next) {
      const isSource = context.parentURL?.endsWith('.ts') === true && specifier.startsWith('./');
      return next(isSource ? specifier.replace(/\.js$/, '.ts') : specifier, context);
    },
  });
}
const { classifyTree } = await import('./classify.js');

/** More statements in a text than anybody writes; all their facts would be a burden for the thread that asks. */
const maxStatements = 5_000;

function answer(text: string): WorkerMessage {
  // The parser takes no empty text; for the server it is one without statements.
  if (text === '') return { kind: 'parsed', statements: [] };
  try {
    const tree = parseSync(text);
    if (tree.stmts !== undefined && tree.stmts.length > maxStatements) {
      return { kind: 'unparsed', reason: 'too_long' };
    }
    return { kind: 'parsed', statements: classifyTree(tree, Buffer.byteLength(text)) };
  } catch (thrown) {
    // Whatever is not the grammar's own error has torn the parser from its work, and it may refuse all from now on.
    return hasSqlDetails(thrown) ? { kind: 'unparsed', reason: 'syntax' } : 'broken';
  }
}

await loadModule();
parentPort?.on('message', (text: string) => {
  parentPort?.postMessage(answer(text));
});
parentPort?.postMessage('ready' satisfies WorkerMessage);
