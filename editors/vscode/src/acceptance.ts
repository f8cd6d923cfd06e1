// What of a suggestion is in the document by now. Nothing here knows the editor.

/** A suggestion that was handed to the editor. `start` is the offset at which it begins. */
export interface Offered<Item> {
  readonly uri: string;
  readonly start: number;
  readonly text: string;
  readonly item: Item;
}

/** What was accepted of one: `length` UTF-16 units from its beginning. */
export interface Accepted<Item> {
  readonly item: Item;
  readonly length: number;
}

// The editor keeps a suggestion that is accepted in parts, while newer ones are handed to it.
const KEPT = 12;

/** Remembers what was offered lately, and finds what an edit took of it. */
export class Offers<Item> {
  private latest: Offered<Item>[] = [];

  /** Remember what the editor was given to show, best first. */
  remember(offered: readonly Offered<Item>[]): void {
    this.latest = [...offered, ...this.latest].slice(0, KEPT);
  }

  /**
   * Return of which suggestion a part was accepted, if `text` is the document after an edit that
   * ended at `end`. A suggestion that is there to its end is none that was accepted in part.
   */
  partAccepted(uri: string, text: string, end: number): Accepted<Item> | undefined {
    for (const { uri: where, start, text: offered, item } of this.latest) {
      const length = end - start;
      if (where === uri && length > 0 && length < offered.length) {
        if (text.slice(start, end) === offered.slice(0, length)) {
          return { item, length };
        }
      }
    }
    return undefined;
  }
}
