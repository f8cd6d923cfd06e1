import assert from "node:assert/strict";
import { test } from "node:test";
import type { Run } from "../src/processes.ts";
import { findPython, pythonCommands } from "../src/python.ts";

/** Answers as the Pythons of a machine would; whoever is not named is not there. */
function machine(answers: Record<string, unknown>): Run {
  return (command) => {
    const answer = answers[command[0] ?? ""];
    const stdout = answer === undefined ? "" : JSON.stringify(answer);
    const failure = answer === undefined ? "ENOENT" : undefined;
    return Promise.resolve({ code: 0, stdout, stderr: "", failure, timedOut: false });
  };
}

test("the newest that is known to work comes first", async () => {
  const { python } = await findPython(
    "",
    "linux",
    machine({
      "python3.12": [3, 12, "/usr/bin/python3.12", true, true],
      python3: [3, 11, "/usr/bin/python3.11", true, true],
    }),
  );
  assert.deepEqual(python, { command: ["/usr/bin/python3.12"], version: "3.12" });
});

test("it is said why those that are there do not do", async () => {
  const { python, refused } = await findPython(
    "",
    "linux",
    machine({
      "python3.12": [3, 12, "/a", false, true],
      python3: [3, 9, "/b", true, true],
      python: [2, 7, "/c", false, true],
    }),
  );
  assert.equal(python, undefined);
  assert.deepEqual(refused, [
    "python3.12 has no venv (on Debian and Ubuntu: sudo apt install python3.12-venv)",
    "python3 is Python 3.9; 3.11 or newer is needed",
    "python is Python 2.7; 3.11 or newer is needed",
  ]);
});

test("a 32-bit Python is refused: nothing is built for it", async () => {
  const { refused } = await findPython("", "win32", machine({ py: [3, 12, "C:\\p", true, false] }));
  assert.deepEqual(refused, ["py -3 is a 32-bit Python"]);
});

test("the chosen one is the only one that is tried", () => {
  assert.deepEqual(pythonCommands(" /opt/python ", "linux"), [["/opt/python"]]);
  assert.deepEqual(pythonCommands("", "win32")[0], ["py", "-3"]);
});
