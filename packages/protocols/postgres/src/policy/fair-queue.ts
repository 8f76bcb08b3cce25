/**
 * What waits for one worker, of many people: each has their turn, so that nobody waits for all that another has sent. Where
 * there is no more room, whoever takes most of it loses what they sent last.
 */

export interface FairQueueOptions<Item> {
  readonly maxBytes: number;
  readonly bytesOf: (item: Item) => number;
  /** There is no room for it. */
  readonly onDropped: (item: Item) => void;
}

interface Waiting<Item> {
  readonly items: Item[];
  bytes: number;
}

export class FairQueue<Item> {
  readonly #options: FairQueueOptions<Item>;
  /** In the order of their turns; nobody with nothing. */
  readonly #people = new Map<string, Waiting<Item>>();
  #bytes = 0;

  constructor(options: FairQueueOptions<Item>) {
    this.#options = options;
  }

  push(person: string, item: Item): void {
    const bytes = this.#options.bytesOf(item);
    const own = this.#people.get(person) ?? { items: [], bytes: 0 };
    this.#people.set(person, own);
    own.items.push(item);
    own.bytes += bytes;
    this.#bytes += bytes;
    while (this.#bytes > this.#options.maxBytes) this.#dropOne();
  }

  /** The oldest item of whose turn it is; undefined where nothing waits. */
  shift(): Item | undefined {
    for (const [person, own] of this.#people) {
      const item = own.items.shift();
      this.#people.delete(person);
      if (own.items.length > 0) this.#people.set(person, own);
      this.#count(own, item);
      return item;
    }
    return undefined;
  }

  /** All of it, after which it is empty. */
  take(): Item[] {
    const items = [...this.#people.values()].flatMap((own) => own.items);
    this.#people.clear();
    this.#bytes = 0;
    return items;
  }

  #dropOne(): void {
    let [person, most] = ['', { items: [], bytes: 0 } as Waiting<Item>];
    for (const [name, own] of this.#people)
      if (own.bytes >= most.bytes) [person, most] = [name, own];
    const item = most.items.pop();
    if (most.items.length === 0) this.#people.delete(person);
    this.#count(most, item);
    if (item !== undefined) this.#options.onDropped(item);
  }

  #count(own: Waiting<Item>, item: Item | undefined): void {
    const bytes = item === undefined ? 0 : this.#options.bytesOf(item);
    own.bytes -= bytes;
    this.#bytes -= bytes;
  }
}
