import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { goesOn, wholeOrLine } from "../src/growth.ts";

const NEVER = new Promise<never>(() => undefined);

describe("an answer in two parts", () => {
  it("is the whole one if no line was told", async () => {
    const outcome = await wholeOrLine(Promise.resolve("all"), NEVER);
    assert.deepEqual(outcome, { kind: "whole", answer: "all" });
  });

  it("is the line once the rest has taken long", async (test) => {
    test.mock.timers.enable({ apis: ["setTimeout"] });
    const outcome = wholeOrLine(NEVER, Promise.resolve("line"), 100);
    await settled();
    test.mock.timers.tick(100);
    assert.deepEqual(await outcome, { kind: "line", line: "line" });
  });

  it("is the whole one if the rest came soon after the line", async (test) => {
    test.mock.timers.enable({ apis: ["setTimeout"] });
    let come: (answer: string) => void = () => undefined;
    const answer = new Promise<string>((resolve) => {
      come = resolve;
    });
    const outcome = wholeOrLine(answer, Promise.resolve("line"), 100);
    await settled();
    test.mock.timers.tick(99);
    come("line and more");
    await settled();
    test.mock.timers.tick(1);
    assert.deepEqual(await outcome, { kind: "whole", answer: "line and more" });
  });

  it("fails as the answer does", async () => {
    await assert.rejects(wholeOrLine(Promise.reject(new Error("gone")), NEVER), /gone/);
  });

  it("goes on only where it begins with the line and is longer", () => {
    assert.equal(goesOn("a = 1", "a = 1\nb = 2"), true);
    assert.equal(goesOn("a = 1", "a = 1"), false);
    assert.equal(goesOn("a = 1", "b = 2\na = 1"), false);
  });
});

/** Let promises that are fulfilled already be heard of. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) {
    await Promise.resolve();
  }
}
