import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Offered, Offers } from "../src/acceptance.ts";

const URI = "file:///a.py";

/** What was offered behind `before`. */
function offered(before: string, text: string, item = text): Offered<string> {
  return { uri: URI, start: before.length, text, item };
}

/** What of it is accepted when the cursor stands behind `document`. */
function accepted(offers: Offers<string>, document: string, uri = URI): unknown {
  return offers.partAccepted(uri, document, document.length);
}

describe("what was accepted", () => {
  it("is counted from where the suggestion begins", () => {
    const offers = new Offers<string>();
    offers.remember([offered("x = ", "sum(values)")]);
    assert.deepEqual(accepted(offers, "x = sum"), { item: "sum(values)", length: 3 });
  });

  it("is nothing where something else was typed", () => {
    const offers = new Offers<string>();
    offers.remember([offered("x = ", "sum(values)")]);
    assert.equal(accepted(offers, "x = max"), undefined);
    assert.equal(accepted(offers, "x = "), undefined);
    assert.equal(accepted(offers, "x = sum", "file:///b.py"), undefined);
  });

  it("is told otherwise where it is the whole text", () => {
    const offers = new Offers<string>();
    offers.remember([offered("x = ", "sum(values)")]);
    assert.equal(accepted(offers, "x = sum(values)"), undefined);
  });

  it("is of the alternative that it agrees with", () => {
    const offers = new Offers<string>();
    offers.remember([offered("x = ", "sum(values)"), offered("x = ", "max(values)")]);
    assert.deepEqual(accepted(offers, "x = max"), { item: "max(values)", length: 3 });
  });

  it("is of the latest suggestion that it agrees with", () => {
    const offers = new Offers<string>();
    offers.remember([offered("x = ", "sum(values)", "older")]);
    offers.remember([offered("x = sum", "(values)", "newer")]);
    assert.deepEqual(accepted(offers, "x = sum(val"), { item: "newer", length: 4 });
    assert.deepEqual(accepted(offers, "x = su"), { item: "older", length: 2 });
  });

  it("counts as the protocol does", () => {
    const offers = new Offers<string>();
    offers.remember([offered("x = ", "'😀' + rest")]);
    assert.deepEqual(accepted(offers, "x = '😀'"), { item: "'😀' + rest", length: 4 });
  });
});
