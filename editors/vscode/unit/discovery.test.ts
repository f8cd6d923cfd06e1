import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import * as path from "node:path";
import { after, before, test } from "node:test";
import { candidates, check, discover, lookUp, type Places } from "../src/discovery.ts";
import type { Outcome, Run } from "../src/processes.ts";

const WINDOWS = process.platform === "win32";
const PROGRAM = WINDOWS ? "midfill.exe" : "midfill";
let folder: string;
let onPath: string;

before(() => {
  folder = mkdtempSync(path.join(tmpdir(), "midfill-unit-"));
  onPath = path.join(folder, "bin", PROGRAM);
  mkdirSync(path.dirname(onPath));
  writeFileSync(onPath, "");
  chmodSync(onPath, 0o755);
  mkdirSync(path.join(folder, "other", PROGRAM), { recursive: true });
});

after(() => {
  rmSync(folder, { recursive: true });
});

function places(change: Partial<Places> = {}): Places {
  const environment = { PATH: [path.join(folder, "other"), path.dirname(onPath)].join(path.delimiter) };
  const { platform } = process;
  return { path: "", args: [], installed: undefined, environment, platform, ...change };
}

function answering(outcomes: Record<string, Partial<Outcome>>): Run {
  return (command) =>
    Promise.resolve({
      code: 0,
      stdout: "",
      stderr: "",
      failure: undefined,
      timedOut: false,
      ...outcomes[command[0] ?? ""],
    });
}

const CANDIDATE = { origin: "path" as const, command: ["/a/midfill"] };

test("what the user named is the only candidate", () => {
  const named = path.join(folder, "mine");
  const found = candidates(places({ path: named, args: ["-m", "x"], installed: ["/env/python"] }));
  assert.deepEqual(found, [{ origin: "setting", command: [named, "-m", "x"] }]);
});

test("a name without a folder is looked up, and ~ is the home folder", () => {
  assert.equal(candidates(places({ path: "midfill" }))[0]?.command[0], onPath);
  assert.equal(candidates(places({ path: "~/m" }))[0]?.command[0], path.join(homedir(), "m"));
});

test("the installed one comes before the one on the PATH", () => {
  const found = candidates(places({ installed: ["/env/python", "-m", "midfill_server"] }));
  assert.deepEqual(
    found.map((one) => one.origin),
    ["installed", "path"],
  );
});

test("a relative folder on the PATH is left out: it would be the project's", () => {
  const there = path.relative(process.cwd(), path.dirname(onPath));
  assert.equal(lookUp("midfill", places({ environment: { PATH: there } })), undefined);
});

test("what cannot be used is passed over, and remembered", async () => {
  const { found, problems } = await discover(
    places({ installed: ["/env/python"] }),
    answering({ "/env/python": { failure: "ENOENT" }, [onPath]: { stdout: "midfill 0.4.2\n" } }),
  );
  assert.equal(found?.origin, "path");
  assert.equal(found.version, "0.4.2");
  assert.deepEqual(
    problems.map((problem) => problem.kind),
    ["missing"],
  );
});

test("with nothing to try, nothing is found and nothing is wrong", async () => {
  const result = await discover(places({ environment: {} }), answering({}));
  assert.deepEqual(result, { found: undefined, problems: [] });
});

const WRONG: [string, Partial<Outcome>, string, RegExp][] = [
  ["there is none", { failure: "ENOENT" }, "missing", /no program \/a\/midfill/],
  ["it may not be run", { failure: "EACCES" }, "not-executable", /EACCES/],
  ["it hangs", { code: null, timedOut: true }, "failed", /within 30 seconds/],
  ["it fails", { code: 1, stderr: "Trace\nImportError: numpy\n" }, "failed", /ImportError: numpy/],
  ["it fails without a word", { code: 3 }, "failed", /code 3/],
  ["it is another program", { stdout: "usage: midfill" }, "foreign", /something else/],
  ["it is too old", { stdout: "midfill 0.0.9\n" }, "too-old", /0\.0\.9; this extension needs/],
  [
    "its Python is too old",
    { code: 1, stderr: "ModuleNotFoundError: No module named 'tomllib'\n" },
    "old-python",
    /older than 3\.11/,
  ],
];

for (const [name, outcome, kind, text] of WRONG) {
  test(`it is said when ${name}`, async () => {
    const result = await check(CANDIDATE, answering({ "/a/midfill": outcome }));
    assert.ok("kind" in result);
    assert.equal(result.kind, kind);
    assert.match(result.text, text);
  });
}
