/** What waits for one worker, of many people: each has their turn, so that nobody waits for all that another has sent. */

export interface FairQueueOptions {
  /** Items that may wait, of all people together. */
  readonly maxItems: number;
  /** Of one person. */
  readonly maxItemsEach: number;
}

export class FairQueue<Item> {
  readonly #options: FairQueueOptions;
  /** In the order of their turns; nobody with nothing. */
  readonly #items = new Map<string, Item[]>();
  #size = 0;

  constructor(options: FairQueueOptions) {
    this.#options = options;
  }

  /** False where there is no room for it. */
  push(person: string, item: Item): boolean {
    const own = this.#items.get(person) ?? [];
    if (this.#size >= this.#options.maxItems || own.length >= this.#options.maxItemsEach)
      return false;
    own.push(item);
    this.#items.set(person, own);
    this.#size += 1;
    return true;
  }

  /** The oldest item of whose turn it is; undefined where nothing waits. */
  shift(): Item | undefined {
    for (const [person, own] of this.#items) {
      const item = own.shift();
      this.#items.delete(person);
      if (own.length > 0) this.#items.set(person, own);
      this.#size -= 1;
      return item;
    }
    return undefined;
  }

  /** All of it, after which it is empty. */
  take(): Item[] {
    const items = [...this.#items.values()].flat();
    this.#items.clear();
    this.#size = 0;
    return items;
  }
}
