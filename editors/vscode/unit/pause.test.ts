import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Place, Pauses } from "../src/pause.ts";

const PYTHON: Place = { languageId: "python", uri: "file:///a.py" };
const RUST: Place = { languageId: "rust", uri: "file:///b.rs" };
const HOUR_MS = 3_600_000;

class Memory {
  readonly values = new Map<string, unknown>();

  get(key: string): unknown {
    return this.values.get(key);
  }

  async update(key: string, value: unknown): Promise<void> {
    await Promise.resolve();
    this.values.set(key, value);
  }
}

interface Desk {
  readonly pauses: Pauses;
  readonly memory: Memory;
  readonly clock: { now: number };
  readonly changes: () => number;
}

function desk(memory = new Memory(), now = 1_000_000): Desk {
  const clock = { now };
  let changes = 0;
  const pauses = new Pauses(
    memory,
    () => {
      changes += 1;
    },
    () => clock.now,
  );
  return { pauses, memory, clock, changes: () => changes };
}

describe("pauses", () => {
  it("cover nothing at first", () => {
    const { pauses } = desk();
    assert.equal(pauses.of(PYTHON), undefined);
    assert.equal(pauses.of(undefined), undefined);
  });

  it("of everything cover every document, and none at all", async () => {
    const { pauses, changes } = desk();
    await pauses.begin("everywhere");
    assert.deepEqual(pauses.of(RUST), { scope: "everywhere" });
    assert.deepEqual(pauses.of(undefined), { scope: "everywhere" });
    assert.equal(changes(), 1);
  });

  it("of a language leave others alone", async () => {
    const { pauses } = desk();
    await pauses.begin("language", PYTHON);
    assert.deepEqual(pauses.of({ ...PYTHON, uri: "file:///other.py" }), { scope: "language" });
    assert.equal(pauses.of(RUST), undefined);
    assert.equal(pauses.of(undefined), undefined);
  });

  it("of a file leave others of its language alone", async () => {
    const { pauses } = desk();
    await pauses.begin("file", PYTHON);
    assert.deepEqual(pauses.of(PYTHON), { scope: "file" });
    assert.equal(pauses.of({ ...PYTHON, uri: "file:///other.py" }), undefined);
  });

  it("for an hour end by themselves", async () => {
    const { pauses, clock } = desk();
    await pauses.begin("hour");
    const until = clock.now + HOUR_MS;
    assert.deepEqual(pauses.of(RUST), { scope: "hour", until });
    clock.now = until - 1;
    assert.deepEqual(pauses.of(RUST), { scope: "hour", until });
    clock.now = until;
    assert.equal(pauses.of(RUST), undefined);
  });

  it("tell when an hour is over", async (test) => {
    test.mock.timers.enable({ apis: ["setTimeout"] });
    const { pauses, clock, changes } = desk();
    await pauses.begin("hour");
    clock.now += HOUR_MS;
    test.mock.timers.tick(HOUR_MS);
    assert.equal(changes(), 2);
    pauses.dispose();
  });

  it("tell of an hour that another window began", (test) => {
    test.mock.timers.enable({ apis: ["setTimeout"] });
    const memory = new Memory();
    memory.values.set("midfill.pause", { until: 5_000, languages: [] });
    const { pauses, changes } = desk(memory, 2_000);
    test.mock.timers.tick(3_000);
    assert.equal(changes(), 1);
    pauses.dispose();
  });

  it("outlive the window, but for those of files", async () => {
    const first = desk();
    await first.pauses.begin("language", PYTHON);
    await first.pauses.begin("file", RUST);
    first.pauses.dispose();
    const { pauses } = desk(first.memory);
    assert.deepEqual(pauses.of(PYTHON), { scope: "language" });
    assert.equal(pauses.of(RUST), undefined);
  });

  it("end all at once where somebody resumes, and stay elsewhere", async () => {
    const { pauses } = desk();
    await pauses.begin("language", RUST);
    await pauses.begin("language", PYTHON);
    await pauses.begin("file", PYTHON);
    await pauses.begin("hour");
    await pauses.begin("everywhere");
    await pauses.resume(PYTHON);
    assert.equal(pauses.of(PYTHON), undefined);
    assert.equal(pauses.of(undefined), undefined);
    assert.deepEqual(pauses.of(RUST), { scope: "language" });
  });

  it("survive what they cannot read", () => {
    const memory = new Memory();
    memory.values.set("midfill.pause", { everywhere: "yes", until: "soon", languages: "python" });
    assert.equal(desk(memory).pauses.of(PYTHON), undefined);
  });
});
