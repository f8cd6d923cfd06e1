import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "../src/backoff.ts";

const MINUTE = 60_000;

test("waits twice as long with each end in a row, and gives up after the fifth", () => {
  const backoff = new Backoff();
  const waits = [1, 2, 3, 4, 5, 6].map((second) => {
    backoff.started(second * 1000);
    return backoff.ended(second * 1000 + 500);
  });
  assert.deepEqual(waits, [1000, 2000, 4000, 8000, 16000, undefined]);
});

test("three minutes of health make up for what was before", () => {
  const backoff = new Backoff();
  for (let at = 0; at < 4; at += 1) {
    backoff.started(at);
    backoff.ended(at);
  }
  backoff.started(MINUTE);
  assert.equal(backoff.ended(MINUTE + 3 * MINUTE), 1000);
});

test("a little less than three minutes does not", () => {
  const backoff = new Backoff();
  backoff.started(0);
  backoff.ended(0);
  backoff.started(0);
  assert.equal(backoff.ended(3 * MINUTE - 1), 2000);
});

test("a start by hand begins from the first wait", () => {
  const backoff = new Backoff();
  for (let at = 0; at < 6; at += 1) {
    backoff.ended(at);
  }
  backoff.reset();
  assert.equal(backoff.ended(10), 1000);
});
