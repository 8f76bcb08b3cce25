/**
 * Regular expressions for labels and principals, in time linear in the text whatever the pattern: a parser for a safe
 * subset and a simulation of its automaton (Thompson 1968). JavaScript's own engine backtracks, so that one pattern of
 * one role could stop a proxy.
 *
 * The subset: literals, `.`, classes, `\d \w \s` and their negations, groups, `|`, and the quantifiers
 * `* + ? {n} {n,} {n,m}`. Not in it: anchors inside, look-around, back-references. A match is always of the whole text.
 */
import { complementOf, containsCodePoint, type CodePointSet } from './code-point-set.js';
import { parseRegexSyntax, PatternError, type RegexNode } from './regex-syntax.js';

/** Longest program after counted repetitions are written out. */
const maxRegexInstructions = 2000;

type Instruction =
  | { readonly op: 'take'; readonly set: CodePointSet }
  | { readonly op: 'split'; first: number; second: number }
  | { readonly op: 'jump'; to: number }
  | { readonly op: 'match' };

/** A program in the making; `steps` also counts what adds no instruction, such as `(){255}`. */
interface Program {
  readonly instructions: Instruction[];
  steps: number;
}

/** A compiled expression. */
export interface Regex {
  readonly program: readonly Instruction[];
}

/**
 * Compiles what stands between `^` and `$`.
 * @throws PatternError with the position of what is not understood
 */
export function compileRegex(source: string): Regex {
  const program: Program = { instructions: [], steps: 0 };
  emit(program, parseRegexSyntax(source));
  push(program, { op: 'match' });
  return { program: program.instructions };
}

/** Does the expression match the whole text? */
export function isRegexMatch(regex: Regex, text: string): boolean {
  let states = new Set<number>();
  follow(regex.program, states, 0);
  for (const character of text) {
    const codePoint = character.codePointAt(0) ?? 0;
    const next = new Set<number>();
    for (const state of states) {
      const instruction = regex.program[state];
      if (instruction?.op === 'take' && containsCodePoint(instruction.set, codePoint)) {
        follow(regex.program, next, state + 1);
      }
    }
    if (next.size === 0) return false;
    states = next;
  }
  return [...states].some((state) => regex.program[state]?.op === 'match');
}

/** Adds `start` and all that is reached from it without taking a character. */
function follow(program: readonly Instruction[], states: Set<number>, start: number): void {
  const waiting = [start];
  for (let state = waiting.pop(); state !== undefined; state = waiting.pop()) {
    if (states.has(state)) continue;
    states.add(state);
    const instruction = program[state];
    if (instruction?.op === 'split') waiting.push(instruction.second, instruction.first);
    if (instruction?.op === 'jump') waiting.push(instruction.to);
  }
}

function push<T extends Instruction>(program: Program, instruction: T): T {
  if (program.instructions.length >= maxRegexInstructions)
    throw new PatternError('the expression is too large');
  program.instructions.push(instruction);
  return instruction;
}

function emit(program: Program, node: RegexNode): void {
  program.steps += 1;
  if (program.steps > 4 * maxRegexInstructions)
    throw new PatternError('the expression is too large');
  switch (node.type) {
    case 'set':
      push(program, { op: 'take', set: node.negated ? complementOf(node.set) : node.set });
      return;
    case 'sequence':
      for (const item of node.items) emit(program, item);
      return;
    case 'choice':
      emitChoice(program, node.options);
      return;
    case 'repeat':
      emitRepeat(program, node);
      return;
  }
}

function emitChoice(program: Program, options: readonly RegexNode[]): void {
  const exits: { to: number }[] = [];
  for (const [index, option] of options.entries()) {
    if (index === options.length - 1) {
      emit(program, option);
      continue;
    }
    const split = push(program, { op: 'split', first: program.instructions.length + 1, second: 0 });
    emit(program, option);
    exits.push(push(program, { op: 'jump', to: 0 }));
    split.second = program.instructions.length;
  }
  for (const exit of exits) exit.to = program.instructions.length;
}

function emitRepeat(program: Program, node: Extract<RegexNode, { type: 'repeat' }>): void {
  for (let count = 0; count < node.min; count += 1) emit(program, node.item);
  if (node.max === undefined) {
    const start = program.instructions.length;
    const split = push(program, { op: 'split', first: start + 1, second: 0 });
    emit(program, node.item);
    push(program, { op: 'jump', to: start });
    split.second = program.instructions.length;
    return;
  }
  const splits: { second: number }[] = [];
  for (let count = node.min; count < node.max; count += 1) {
    splits.push(push(program, { op: 'split', first: program.instructions.length + 1, second: 0 }));
    emit(program, node.item);
  }
  for (const split of splits) split.second = program.instructions.length;
}
