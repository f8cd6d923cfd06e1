import assert from "node:assert/strict";
import { test } from "node:test";
import { run } from "../src/processes.ts";

const NODE = process.execPath;

test("what a program prints is told, as a whole and line by line", async () => {
  const lines: string[] = [];
  const code = "console.log('one\\ntwo'); console.error('three'); process.exitCode = 4";
  const outcome = await run([NODE, "-e", code], { onLine: (line) => lines.push(line) });
  assert.equal(outcome.code, 4);
  assert.equal(outcome.stdout, "one\ntwo\n");
  assert.deepEqual(lines.sort(), ["one", "three", "two"]);
});

test("a program that is not there is a failure, not an exception", async () => {
  const outcome = await run(["/nowhere/midfill", "--version"]);
  assert.equal(outcome.failure, "ENOENT");
});

test("one that does not end is ended", async () => {
  const outcome = await run([NODE, "-e", "setInterval(() => 0, 1000)"], { timeoutMs: 300 });
  assert.ok(outcome.timedOut);
  assert.notEqual(outcome.code, 0);
});

test("cancelling ends what the program started, too", async () => {
  const controller = new AbortController();
  const child = "require('child_process').spawn(process.execPath, ['-e', 'setInterval(() => 0, 1e3)'])";
  const code = `const c = ${child}; console.log(c.pid); setInterval(() => 0, 1000)`;
  let pid = 0;
  await run([NODE, "-e", code], {
    signal: controller.signal,
    onLine: (line) => {
      pid = Number(line);
      controller.abort();
    },
  });
  assert.ok(pid > 0);
  await gone(pid);
});

async function gone(pid: number): Promise<void> {
  try {
    process.kill(pid, 0);
  } catch {
    return;
  }
  await new Promise(setImmediate);
  await gone(pid);
}
