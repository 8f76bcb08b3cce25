/** The statement policy of one session: texts are parsed once, and judged by the rules that hold just then. */
import type { Session } from '@gatehouse/protocol-api';

import type { Statement } from '../wire/statement.js';
import { isBeyondAscii } from './collector.js';
import type { ParsedText, StatementClass } from './facts.js';
import { hasStatementPolicy, judgeText, type Refusal } from './judge.js';
import type { StatementParser } from './parse.js';
import { PreparedFacts } from './prepared-facts.js';

const watchedSettings: ReadonlySet<string> = new Set([
  'client_encoding',
  'server_encoding',
  'standard_conforming_strings',
]);

/** Why a statement is refused, for the person and the audit. */
export interface Denial {
  readonly message: string;
  readonly statementClass: StatementClass | undefined;
}

export class PolicyGate {
  readonly #session: Pick<Session, 'identity' | 'statements'>;
  readonly #parser: StatementParser;
  readonly #prepared = new PreparedFacts();
  readonly #settings = new Map<string, string>();
  /** Of statements that were judged before they are executed, and whose whole text is not kept. */
  readonly #parsed = new WeakMap<Statement, ParsedText>();

  constructor(session: Pick<Session, 'identity' | 'statements'>, parser: StatementParser) {
    this.#session = session;
    this.#parser = parser;
  }

  /** Is there anything to judge just now? */
  get isClosed(): boolean {
    return hasStatementPolicy(this.#session.statements);
  }

  /** What the server says of its settings. */
  noteSetting(name: string, value: string): void {
    if (watchedSettings.has(name)) this.#settings.set(name, value.toUpperCase());
  }

  /**
   * @param wholeText all of it; of a text that is not at hand as a whole undefined
   * @param name that a Parse gives it
   */
  async judge(
    statement: Statement | undefined,
    { wholeText, name }: { readonly wholeText: Uint8Array | undefined; readonly name?: string },
  ): Promise<Denial | undefined> {
    const unreadable = this.#findUnreadable();
    if (unreadable !== undefined) return refused(unreadable);
    if (statement === undefined) return refused('the prepared statement is not known here');
    const known = this.#parsed.get(statement);
    if (known === undefined && wholeText === undefined)
      return refused('the statement is too long to be judged');
    const { user } = this.#session.identity;
    const text = known ?? (await this.#parser.parse(wholeText ?? new Uint8Array(), user));
    if (statement.isTruncated && isOfParse(text, name)) this.#parsed.set(statement, text);
    return this.#decide(text, name);
  }

  #decide(text: ParsedText, name: string | undefined): Denial | undefined {
    const refusal = judgeText(text, {
      rules: this.#session.statements,
      prepared: (asked) => this.#prepared.get(asked),
    });
    if (refusal !== undefined) return toDenial(refusal, text);
    const misread = this.#findMisread(text);
    if (misread !== undefined) return refused(misread);
    if (text.kind === 'parsed') this.#remember(text, name);
    return undefined;
  }

  /** Fast-path calls have no text to judge (PostgreSQL §55.2.6). */
  judgeFunctionCall(): Denial {
    return { message: 'fast-path function calls are not allowed', statementClass: 'call' };
  }

  /** Why the parser would see other statements than the server. */
  #findUnreadable(): string | undefined {
    const encoding = this.#settings.get('client_encoding') ?? 'UTF8';
    if (encoding !== 'UTF8' && encoding !== 'SQL_ASCII')
      return `statements can not be judged in client_encoding ${encoding}`;
    return this.#settings.get('standard_conforming_strings') === 'OFF'
      ? 'statements can not be judged with standard_conforming_strings off'
      : undefined;
  }

  /** A server of single bytes folds and cuts names by its own rules. */
  #findMisread(text: ParsedText): string | undefined {
    const encoding = this.#settings.get('server_encoding') ?? 'UTF8';
    if (encoding === 'UTF8' || text.kind === 'unparsed') return undefined;
    const isMisread = text.statements.some(
      ({ tables, isLocal }) =>
        isLocal || tables.some(({ schema, name }) => isBeyondAscii(schema) || isBeyondAscii(name)),
    );
    return isMisread
      ? `names beyond ASCII can not be judged in server_encoding ${encoding}`
      : undefined;
  }

  #remember({ statements }: Extract<ParsedText, { kind: 'parsed' }>, name: string | undefined) {
    const [first] = statements;
    if (name !== undefined && name !== '' && first !== undefined) this.#prepared.add(name, first);
    for (const facts of statements)
      if (facts.prepares !== undefined) this.#prepared.add(facts.prepares, facts);
  }
}

/** A Parse of several statements is refused by the server; facts of thousands need not be kept for it. */
function isOfParse(text: ParsedText, name: string | undefined): boolean {
  return name !== undefined && (text.kind === 'unparsed' || text.statements.length <= 1);
}

function refused(message: string): Denial {
  return { message, statementClass: undefined };
}

function toDenial({ message }: Refusal, text: ParsedText): Denial {
  const [first] = text.kind === 'parsed' ? text.statements : [];
  return { message, statementClass: first?.classes.at(-1) };
}
