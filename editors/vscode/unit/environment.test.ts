import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import {
  bundledWheel,
  findEnvironment,
  install,
  type Installation,
  InstallError,
  markUsed,
  pipStep,
  removeOthers,
  type Wheel,
} from "../src/environment.ts";
import type { Outcome, Run } from "../src/processes.ts";

const GOOD: Outcome = { code: 0, stdout: "", stderr: "", failure: undefined, timedOut: false };
// Larger than any number that a system gives to a process.
const NOBODY = 2147483000;
let root: string;

beforeEach(() => {
  root = path.join(mkdtempSync(path.join(tmpdir(), "midfill-unit-")), "server-env");
});

afterEach(() => {
  rmSync(path.dirname(root), { recursive: true });
});

function wheel(content: string): Wheel {
  const folder = mkdtempSync(path.join(path.dirname(root), "wheel-"));
  writeFileSync(path.join(folder, "midfill-0.3.0-py3-none-any.whl"), content);
  const found = bundledWheel(folder);
  assert.ok(found);
  return found;
}

/** Does what venv and pip do to the disk, and answers as told for the command that is named. */
function machine(answers: Record<string, () => Outcome> = {}): { run: Run; ran: string[] } {
  const ran: string[] = [];
  const run: Run = (command) => {
    const name = ["venv", "pip"].find((word) => command.includes(word)) ?? "midfill_server";
    ran.push(name);
    if (name === "venv") {
      mkdirSync(command.at(-1) ?? "", { recursive: true });
    }
    return Promise.resolve(answers[name]?.() ?? GOOD);
  };
  return { run, ran };
}

function installation(change: Partial<Installation>): Installation {
  return {
    root,
    wheel: wheel("a"),
    python: { command: ["python3"], version: "3.12" },
    run: machine().run,
    signal: new AbortController().signal,
    onCommand: () => undefined,
    onLine: () => undefined,
    ...change,
  };
}

test("an installed environment is found, with its version", async () => {
  const one = wheel("a");
  assert.equal(findEnvironment(root, one), undefined);
  const { run, ran } = machine();
  const made = await install(installation({ wheel: one, run }));
  assert.deepEqual(ran, ["venv", "pip", "midfill_server"]);
  assert.deepEqual(findEnvironment(root, one), made);
  assert.equal(made.version, "0.3.0");
  assert.ok(path.isAbsolute(made.command[0] ?? ""));
});

test("the commands are told before they run, and pip gets the wheel with what it needs", async () => {
  const told: string[] = [];
  const one = wheel("a");
  await install(installation({ wheel: one, onCommand: (command) => told.push(command.at(-1) ?? "") }));
  assert.equal(told[1], `${one.file}[cpu]`);
});

test("after a failure nothing is left, and pip's own sentence is told", async () => {
  const said = "Collecting x\nERROR: No matching distribution found for x\n[notice] A new release\n";
  const { run } = machine({ pip: () => ({ ...GOOD, code: 1, stderr: said }) });
  await assert.rejects(install(installation({ run })), (error: Error) => {
    assert.ok(error instanceof InstallError);
    return error.message.includes("ERROR: No matching distribution found for x");
  });
  assert.deepEqual(readdirSync(root), []);
});

test("after it was cancelled nothing is left", async () => {
  const controller = new AbortController();
  const { run, ran } = machine({
    venv: () => {
      controller.abort();
      return { ...GOOD, code: null };
    },
  });
  await assert.rejects(install(installation({ run, signal: controller.signal })), /cancelled/);
  assert.deepEqual(ran, ["venv"]);
  assert.deepEqual(readdirSync(root), []);
});

test("a folder that was given up half-way is none, and is made anew", async () => {
  const one = wheel("a");
  const folder = path.join(root, one.sha256.slice(0, 16));
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, "rubbish"), "");
  assert.equal(findEnvironment(root, one), undefined);
  await install(installation({ wheel: one }));
  assert.ok(!existsSync(path.join(folder, "rubbish")));
});

test("an update leaves the older environment until the newer one is used", async () => {
  const older = await install(installation({ wheel: wheel("old") }));
  const next = wheel("new");
  assert.equal(findEnvironment(root, next)?.folder, older.folder);
  const newer = await install(installation({ wheel: next }));
  assert.ok(existsSync(older.folder));
  assert.equal(findEnvironment(root, next)?.folder, newer.folder);
  await removeOthers(root, newer);
  assert.deepEqual(readdirSync(root), [path.basename(newer.folder)]);
});

test("an older environment stays while another window may run from it", async () => {
  const older = await install(installation({ wheel: wheel("old") }));
  const newer = await install(installation({ wheel: wheel("new") }));
  markUsed(older, NOBODY);
  markUsed(older, process.pid);
  await removeOthers(root, newer);
  assert.deepEqual(readdirSync(path.join(older.folder, "users")), [String(process.pid)]);
  rmSync(path.join(older.folder, "users", String(process.pid)));
  markUsed(newer, process.pid);
  await removeOthers(root, newer);
  assert.deepEqual(readdirSync(root), [path.basename(newer.folder)]);
});

test("two windows do not install at the same time", async () => {
  let open = (): void => undefined;
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const { run } = machine();
  const slow: Run = (command) => gate.then(() => run(command));
  const first = install(installation({ run: slow }));
  await assert.rejects(install(installation({})), /Another window/);
  open();
  await first;
  await install(installation({}));
});

test("a lock whose owner is gone is taken over", async () => {
  mkdirSync(root, { recursive: true });
  writeFileSync(path.join(root, "installing.pid"), String(NOBODY));
  await install(installation({}));
});

test("a checkout without a wheel has none", () => {
  assert.equal(bundledWheel(path.join(root, "nowhere")), undefined);
});

test("of what pip says, the steps are shown", () => {
  assert.equal(pipStep("  Downloading numpy-2.3.5-cp311.whl (16.9 MB)"), "Downloading numpy-2.3.5-cp311.whl");
  assert.equal(pipStep("Collecting requests>=2.32"), "Collecting requests>=2.32");
  assert.equal(pipStep("Processing /some/where/onnx-1.whl (from midfill)"), "Processing onnx-1.whl");
  assert.equal(pipStep("Installing collected packages: a, b"), "Unpacking");
  assert.equal(pipStep("Requirement already satisfied: pip"), undefined);
});
