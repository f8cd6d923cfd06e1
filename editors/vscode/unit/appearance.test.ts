import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { appearance, pauseText, size } from "../src/appearance.ts";
import type { MidfillStatus } from "../src/types.ts";

const READY: MidfillStatus = {
  state: "ready",
  working: false,
  message: "",
  model: "qwen2.5-coder-0.5b",
  device: "cpu",
  percent: null,
  downloadBytes: null,
  log: null,
};

describe("the status bar item", () => {
  it("is quiet when all is well", () => {
    const shown = appearance(READY, undefined, "python");
    assert.equal(shown.text, "$(sparkle) midfill");
    assert.equal(shown.level, "normal");
    assert.equal(shown.spoken, "midfill, ready");
  });

  it("turns while the model works", () => {
    assert.match(appearance({ ...READY, working: true }, undefined, "python").text, /~spin\) midfill$/);
  });

  it("says how far loading is, if that is known", () => {
    const loading: MidfillStatus = { ...READY, state: "loading" };
    assert.match(appearance({ ...loading, percent: 42 }, undefined, undefined).text, /midfill: 42 %$/);
    assert.match(appearance(loading, undefined, undefined).text, /midfill$/);
  });

  it("says what is paused", () => {
    const shown = appearance(READY, { scope: "language" }, "python");
    assert.match(shown.text, /^\$\(debug-pause\)/);
    assert.match(shown.tooltip, /paused for python/);
  });

  it("is no pause while nothing works anyway", () => {
    for (const state of ["absent", "stopped", "failed", "missing"] as const) {
      const shown = appearance({ ...READY, state, message: "why" }, { scope: "everywhere" }, "python");
      assert.doesNotMatch(shown.text, /pause/);
      assert.notEqual(shown.level, "normal");
    }
  });

  it("is calm about a server that is only being started again, or installed", () => {
    assert.equal(appearance({ ...READY, state: "stopped" }, undefined, undefined).level, "normal");
    const installing = appearance({ ...READY, state: "installing" }, undefined, undefined);
    assert.match(installing.text, /installing$/);
    assert.equal(installing.level, "normal");
  });

  it("names the model, the device and what the server says", () => {
    const { tooltip } = appearance({ ...READY, message: "for tests" }, undefined, undefined);
    assert.match(tooltip, /Model: qwen2\\\.5\\-coder\\-0\\\.5b on cpu/);
    assert.match(tooltip, /for tests/);
  });

  it("shows what the server says as it is, not as markdown", () => {
    const { tooltip } = appearance({ ...READY, message: "[x](command:y) $(z) `w`" }, undefined, undefined);
    assert.doesNotMatch(tooltip, /\[x\]\(command:y\)/);
    assert.doesNotMatch(tooltip, /(?<!\\)\$\(z\)/);
  });
});

describe("words", () => {
  it("say until when", () => {
    const until = new Date(2020, 1, 1, 15, 30).getTime();
    assert.match(pauseText({ scope: "hour", until }, "python"), /until .*3.*30/);
  });

  it("say sizes as people do", () => {
    assert.equal(size(531_067_000), "531 MB");
    assert.equal(size(1_117_320_000), "1.1 GB");
    assert.equal(size(960_000_000), "1.0 GB");
    assert.equal(size(12), "less than 1 MB");
  });
});
