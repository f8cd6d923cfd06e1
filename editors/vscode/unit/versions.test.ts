import assert from "node:assert/strict";
import { test } from "node:test";
import { isAtLeast, parseVersion } from "../src/versions.ts";

test("numbers are compared as numbers", () => {
  assert.ok(isAtLeast("0.10.0", "0.9.1"));
  assert.ok(!isAtLeast("0.9.1", "0.10"));
  assert.ok(isAtLeast("1", "1.0.0"));
  assert.ok(isAtLeast("0.1.0.dev3+local", "0.1.0"));
});

test("what is no version is never enough", () => {
  assert.equal(parseVersion("unknown"), undefined);
  assert.ok(!isAtLeast("unknown", "0.0.1"));
});
