/**
 * A server as far as its protocol goes (PostgreSQL §55.2), for tests of the relay. A text says what its statement does:
 * `rows N`, `copyin`, `copyout N`, `fail`, `begin`, `commit`, `rollback`, `prepare NAME as rows N`, `deallocate NAME`,
 * `discard all`, `declare NAME rows N`, `fetch NAME`, `close NAME`; a Parse of `broken` fails. What is executed is written down;
 * the text of what SQL has prepared or declared is `?`.
 */
import { frame, int16, int32, server } from '../testing.js';

/** A statement that was answered: its text, the rows it counted or `failed`. */
export interface Executed {
  readonly text: string;
  readonly result: number | 'empty' | 'failed';
}

interface Prepared {
  readonly text: string;
  readonly isBySql: boolean;
}

interface OpenPortal extends Prepared {
  left: number;
}

interface Copy {
  readonly text: string;
  readonly isSimple: boolean;
  rows: number;
}

/** What a transaction that failed still takes. */
const ends: ReadonlySet<string> = new Set(['commit', 'rollback']);
const rowDescription = frame('T', int16(0));
const copyDescription = Buffer.concat([Buffer.of(0), int16(0)]);

/** Of a text: events cut longer ones. */
export const keptChars = 24;

export class ModelServer {
  readonly executed: Executed[] = [];
  readonly #send: (message: Buffer) => void;
  readonly #statements = new Map<string, Prepared>();
  readonly #portals = new Map<string, OpenPortal>();
  #held = Buffer.alloc(0);
  #isSkipping = false;
  #status: 'I' | 'T' | 'E' = 'I';
  #copy: Copy | undefined;
  hasLeft = false;

  constructor(send: (message: Buffer) => void) {
    this.#send = send;
  }

  push(chunk: Buffer): void {
    this.#held = Buffer.concat([this.#held, chunk]);
    while (this.#held.length >= 5) {
      const length = this.#held.readUInt32BE(1) + 1;
      if (this.#held.length < length) return;
      const message = this.#held.subarray(0, length);
      this.#held = this.#held.subarray(length);
      this.#receive(String.fromCharCode(message[0] ?? 0), message.subarray(5));
    }
  }

  #receive(type: string, body: Buffer): void {
    if (type === 'X') this.hasLeft = true;
    else if (this.#copy !== undefined) this.#receiveCopy(type, this.#copy);
    else if (type === 'S') this.#sync();
    else if (!this.#isSkipping) this.#act(type, body);
  }

  #act(type: string, body: Buffer): void {
    const texts = body.toString('latin1').split('\0');
    const [first = '', second = ''] = texts;
    switch (type) {
      case 'Q':
        return this.#query(first);
      case 'P':
        return this.#parse(first, second);
      case 'B':
        return this.#bind(first, second);
      case 'D':
        return this.#describe(first);
      case 'E':
        return this.#execute(first, body.readInt32BE(first.length + 1));
      case 'C':
        return this.#close(first);
      case 'F':
        return this.#call(`function call ${body.readUInt32BE(0)}`);
    }
  }

  #call(text: string): void {
    if (this.#status === 'E') this.#fail(text);
    else {
      this.#done(text, 'empty');
      this.#send(frame('V', int32(-1)));
    }
    this.#ready();
  }

  /** Portals end with their transaction. */
  #ready(): void {
    if (this.#status === 'I') this.#portals.clear();
    this.#send(server.ready(this.#status));
  }

  #query(text: string): void {
    this.#statements.delete('');
    this.#portals.delete('');
    const parts = text.split(';').filter((part) => part.trim() !== '');
    if (parts.length === 0) {
      this.#done(text, 'empty');
      this.#send(frame('I'));
    }
    for (const part of parts) {
      if (part === 'copyin') {
        this.#copy = { text, isSimple: true, rows: 0 };
        this.#send(frame('G', copyDescription));
        return;
      }
      if (this.#fails(part)) {
        this.#fail(text);
        break;
      }
      this.#run({ text, part, isDescribed: true });
    }
    this.#ready();
  }

  #fails(part: string): boolean {
    const [what = '', name = ''] = part.split(' ');
    if (this.#isRefused(what)) return true;
    switch (what) {
      case 'prepare':
        return this.#statements.has(name);
      case 'deallocate':
        return !this.#statements.has(name);
      case 'declare':
        return this.#status === 'I' || this.#portals.has(name);
      case 'fetch':
      case 'close':
        return !this.#portals.has(name);
      default:
        return part === 'fail';
    }
  }

  /** A statement that does not fail, to its end. */
  #run({ text, part, isDescribed }: { text: string; part: string; isDescribed: boolean }): void {
    const [what = '', name = ''] = part.split(' ');
    if (what === 'copyout') return this.#copyOut(text, Number(name));
    if (what !== 'rows' && what !== 'fetch') return this.#changeState(text, part);
    if (isDescribed) this.#send(rowDescription);
    const rows = what === 'fetch' ? this.#fetch(name) : Number(name);
    for (let row = 0; row < rows; row += 1) this.#send(server.dataRow(`row ${row}`));
    this.#complete(text, what === 'fetch' ? 'FETCH' : 'SELECT', rows);
  }

  #copyOut(text: string, rows: number): void {
    this.#send(frame('H', copyDescription));
    for (let row = 0; row < rows; row += 1) this.#send(frame('d', Buffer.from(`row ${row}\n`)));
    this.#send(frame('c'));
    this.#complete(text, 'COPY', rows);
  }

  /** The next row, if there is one. */
  #fetch(name: string): number {
    const portal = this.#portals.get(name);
    if (portal === undefined || portal.left === 0) return 0;
    portal.left -= 1;
    return 1;
  }

  #changeState(text: string, part: string): void {
    const [what = '', name = '', ...rest] = part.split(' ');
    const body = rest.join(' ').replace(/^as /, '');
    let tag = what.toUpperCase();
    if (what === 'prepare') this.#statements.set(name, { text: body, isBySql: true });
    else if (what === 'deallocate') this.#statements.delete(name);
    else if (what === 'declare' || what === 'close') tag = this.#changeCursor(what, name, body);
    else if (what === 'discard') {
      tag = 'DISCARD ALL';
      this.#statements.clear();
    } else tag = this.#changeTransaction(what);
    this.#done(text, 'empty');
    this.#send(server.commandComplete(tag));
  }

  #changeCursor(what: 'declare' | 'close', name: string, body: string): string {
    if (what === 'close') this.#portals.delete(name);
    else this.#portals.set(name, { text: body, isBySql: true, left: rowsOf(body) });
    return `${what.toUpperCase()} CURSOR`;
  }

  #changeTransaction(what: string): string {
    const tag = this.#status === 'E' ? 'ROLLBACK' : what.toUpperCase();
    if (what !== 'begin') this.#portals.clear();
    this.#status = what === 'begin' ? 'T' : 'I';
    return tag;
  }

  #parse(name: string, text: string): void {
    // The unnamed one goes first, whatever comes of the new one; another name must be free.
    if (name === '') this.#statements.delete('');
    if (text === 'broken' || this.#isRefused(text) || this.#statements.has(name))
      return this.#failExtended(text);
    this.#statements.set(name, { text, isBySql: false });
    this.#send(frame('1'));
  }

  #bind(portal: string, statement: string): void {
    const prepared = this.#statements.get(statement);
    if (prepared === undefined) return this.#failExtended('?');
    if (this.#isRefused(prepared.text) || (portal !== '' && this.#portals.has(portal)))
      return this.#failExtended(prepared.isBySql ? '?' : prepared.text);
    this.#portals.set(portal, { ...prepared, left: rowsOf(prepared.text) });
    this.#send(frame('2'));
  }

  /** The transaction has failed. */
  #isRefused(text: string): boolean {
    return this.#status === 'E' && !ends.has(text);
  }

  #describe(kindAndName: string): void {
    const name = kindAndName.slice(1);
    const isKnown = kindAndName.startsWith('S')
      ? this.#statements.has(name)
      : this.#portals.has(name);
    if (!isKnown) return this.#failExtended(undefined);
    if (kindAndName.startsWith('S')) this.#send(frame('t', int16(0)));
    this.#send(name.length % 2 === 0 ? rowDescription : frame('n'));
  }

  #execute(name: string, maxRows: number): void {
    const portal = this.#portals.get(name);
    if (portal === undefined) return this.#failExtended('?');
    const { text, isBySql, left } = portal;
    const told = isBySql ? '?' : text;
    if (this.#fails(text)) return this.#failExtended(told);
    if (text === 'copyin') {
      this.#copy = { text, isSimple: false, rows: 0 };
      this.#send(frame('G', copyDescription));
    } else if (maxRows > 0 && left > maxRows) {
      for (let row = 0; row < maxRows; row += 1) this.#send(server.dataRow(`part ${row}`));
      portal.left -= maxRows;
      this.#done(told, maxRows);
      this.#send(frame('s'));
    } else {
      portal.left = 0;
      const part = text.startsWith('rows') ? `rows ${left}` : text;
      this.#run({ text: told, part, isDescribed: false });
    }
  }

  #close(kindAndName: string): void {
    const names = kindAndName.startsWith('S') ? this.#statements : this.#portals;
    names.delete(kindAndName.slice(1));
    this.#send(frame('3'));
  }

  #sync(): void {
    this.#isSkipping = false;
    this.#ready();
  }

  /** Flush and Sync are read over (PostgreSQL §55.2.6). */
  #receiveCopy(type: string, copy: Copy): void {
    if (type === 'd') copy.rows += 1;
    if (type !== 'c' && type !== 'f') return;
    this.#copy = undefined;
    if (type === 'c') this.#complete(copy.text, 'COPY', copy.rows);
    else if (copy.isSimple) this.#fail(copy.text);
    else this.#failExtended(copy.text);
    if (copy.isSimple) this.#ready();
  }

  #complete(text: string, command: string, rows: number): void {
    this.#done(text, rows);
    this.#send(server.commandComplete(`${command} ${rows}`));
  }

  #failExtended(text: string | undefined): void {
    this.#isSkipping = true;
    this.#fail(text);
  }

  #fail(text: string | undefined): void {
    if (text !== undefined) this.#done(text, 'failed');
    if (this.#status === 'T') this.#status = 'E';
    this.#send(server.error('22012'));
  }

  #done(text: string, result: Executed['result']): void {
    this.executed.push({ text: text.slice(0, keptChars), result });
  }
}

function rowsOf(text: string): number {
  return Number(/^rows (\d+)/.exec(text)?.[1] ?? 0);
}
