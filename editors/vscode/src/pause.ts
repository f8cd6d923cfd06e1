// Where somebody wants no suggestions for now. Nothing here knows the editor.

/** A place to remember things in; the editor's `Memento` is one. */
export interface Store {
  get(key: string): unknown;
  update(key: string, value: unknown): PromiseLike<void>;
}

/** What a pause covers. */
export type Scope = "everywhere" | "hour" | "language" | "file";

/** Why nothing is suggested in a document. `until` (ms since 1970) is set for an hour's pause. */
export interface Pause {
  readonly scope: Scope;
  readonly until?: number;
}

/** A document, as far as pauses are concerned. */
export interface Place {
  readonly languageId: string;
  readonly uri: string;
}

interface Remembered {
  readonly everywhere: boolean;
  readonly until: number | undefined;
  readonly languages: readonly string[];
}

const KEY = "midfill.pause";
const HOUR_MS = 3_600_000;
const NONE: Remembered = { everywhere: false, until: undefined, languages: [] };

/**
 * All pauses. Those of files end with the window, the others are in the store and so hold in
 * every window. `onChange` is called with each change, and when an hour is over.
 */
export class Pauses {
  private readonly store: Store;
  private readonly onChange: () => void;
  private readonly now: () => number;
  private readonly files = new Set<string>();
  private timer: NodeJS.Timeout | undefined;

  constructor(store: Store, onChange: () => void, now: () => number = Date.now) {
    this.store = store;
    this.onChange = onChange;
    this.now = now;
    this.awaitEnd();
  }

  /** Return the widest pause that covers a document; without a document, one that covers all. */
  of(place: Place | undefined): Pause | undefined {
    const { everywhere, until, languages } = this.remembered();
    if (everywhere) {
      return { scope: "everywhere" };
    }
    if (until !== undefined && this.now() < until) {
      return { scope: "hour", until };
    }
    if (place === undefined) {
      return undefined;
    }
    if (languages.includes(place.languageId)) {
      return { scope: "language" };
    }
    return this.files.has(place.uri) ? { scope: "file" } : undefined;
  }

  /** Begin a pause; those of a language and of a file need a place. */
  async begin(scope: Scope, place?: Place): Promise<void> {
    const before = this.remembered();
    if (scope === "everywhere") {
      await this.remember({ ...before, everywhere: true });
    } else if (scope === "hour") {
      await this.remember({ ...before, until: this.now() + HOUR_MS });
    } else if (place !== undefined && scope === "language") {
      const languages = new Set([...before.languages, place.languageId]);
      await this.remember({ ...before, languages: [...languages] });
    } else if (place !== undefined) {
      this.files.add(place.uri);
    }
    this.changed();
  }

  /** End every pause that covers a document, so that suggestions come there again. */
  async resume(place?: Place): Promise<void> {
    const { languages } = this.remembered();
    const left = languages.filter((language) => language !== place?.languageId);
    if (place !== undefined) {
      this.files.delete(place.uri);
    }
    await this.remember({ ...NONE, languages: left });
    this.changed();
  }

  dispose(): void {
    clearTimeout(this.timer);
  }

  private remembered(): Remembered {
    // Another version of this extension may have written it.
    const remembered = this.store.get(KEY) as Partial<Remembered> | undefined;
    const { everywhere, until, languages } = remembered ?? {};
    return {
      everywhere: everywhere === true,
      until: typeof until === "number" ? until : undefined,
      languages: Array.isArray(languages) ? languages : [],
    };
  }

  private async remember(remembered: Remembered): Promise<void> {
    await this.store.update(KEY, remembered);
  }

  private changed(): void {
    this.awaitEnd();
    this.onChange();
  }

  private awaitEnd(): void {
    clearTimeout(this.timer);
    const { until } = this.remembered();
    if (until !== undefined && this.now() < until) {
      this.timer = setTimeout(this.onChange, until - this.now());
      // A pause must not keep the editor from closing.
      this.timer.unref();
    }
  }
}
