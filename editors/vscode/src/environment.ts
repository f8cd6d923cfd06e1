// The Python environments that the extension makes for the server.
//
// Each wheel gets a folder of its own, named by its hash: an update never touches what runs. A
// marker is written last; a folder without one was given up half-way and counts as absent.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import * as path from "node:path";
import type { Outcome, Run } from "./processes.ts";
import type { Python } from "./python.ts";

const MARKER = "midfill-installed.json";
// Other windows may still run an older one: a file for the process of each.
const USERS = "users";
const LOCK = "installing.pid";
const LOCK_HOLDS_MS = 60 * 60_000;
const PIP_INSTALL = "-I -u -m pip install --disable-pip-version-check --no-input --progress-bar off".split(" ");
const NAME_LENGTH = 16;

/** The server that comes with the extension. */
export interface Wheel {
  readonly file: string;
  readonly version: string;
  readonly sha256: string;
}

export interface Environment {
  readonly folder: string;
  readonly version: string;
  readonly sha256: string;
  readonly installedAt: number;
  /** Program and arguments that stand for `midfill`. */
  readonly command: readonly string[];
}

/** An installation that did not succeed; the message is for the user. */
export class InstallError extends Error {}

/** An installation that the user did not want to wait for. */
export class CancelledError extends InstallError {}

/** Return the one wheel in a folder, or undefined: a checkout has none until it is packaged. */
export function bundledWheel(folder: string): Wheel | undefined {
  const name = existsSync(folder) ? readdirSync(folder).find((file) => file.endsWith(".whl")) : undefined;
  const version = name?.split("-")[1];
  if (name === undefined || version === undefined) {
    return undefined;
  }
  const file = path.join(folder, name);
  const sha256 = createHash("sha256").update(readFileSync(file)).digest("hex");
  return { file, version, sha256 };
}

/** Return the environment of the wheel, else the one that was made last, else undefined. */
export function findEnvironment(root: string, wheel: Wheel | undefined): Environment | undefined {
  const all = environments(root);
  return all.find((one) => one.sha256 === wheel?.sha256) ?? all[0];
}

/** Note that a process starts the server from an environment, and may do so again until it ends. */
export function markUsed(environment: Environment, pid: number): void {
  const users = path.join(environment.folder, USERS);
  mkdirSync(users, { recursive: true });
  for (const name of readdirSync(users).filter((user) => !isAlive(Number(user)))) {
    rmSync(path.join(users, name), { force: true });
  }
  writeFileSync(path.join(users, String(pid)), "");
}

/** Delete the environments that nobody uses, but for the given one, and what was given up half-way. */
export async function removeOthers(root: string, keep: Environment): Promise<void> {
  if (isLocked(root)) {
    return;
  }
  for (const name of folders(root)) {
    const folder = path.join(root, name);
    if (folder !== keep.folder && !isUsed(folder)) {
      await removeFolder(folder);
    }
  }
}

/** What `install` is to do, and whom it tells. */
export interface Installation {
  readonly root: string;
  readonly wheel: Wheel;
  readonly python: Python;
  readonly run: Run;
  readonly signal: AbortSignal;
  /** Told of each command before it runs. */
  readonly onCommand: (command: readonly string[]) => void;
  readonly onLine: (line: string) => void;
}

/** Make the wheel's environment. What is there of it already is made anew. */
export async function install(what: Installation): Promise<Environment> {
  mkdirSync(what.root, { recursive: true });
  const release = lock(what.root);
  const folder = path.join(what.root, what.wheel.sha256.slice(0, NAME_LENGTH));
  let done = false;
  try {
    await removeFolder(folder);
    await fill(folder, what);
    const marker = { version: what.wheel.version, sha256: what.wheel.sha256, installedAt: Date.now() };
    writeFileSync(path.join(folder, MARKER), JSON.stringify(marker));
    done = true;
    return { ...marker, folder, command: commandOf(folder) };
  } finally {
    if (!done) {
      await removeFolder(folder);
    }
    release();
  }
}

/** Return what a line of pip's means for the user, if it is a step. */
export function pipStep(line: string): string | undefined {
  const step = /^\s*(Collecting|Downloading|Using cached|Processing) (\S+)/.exec(line);
  if (step !== null) {
    return `${step[1] ?? ""} ${path.basename(step[2] ?? "")}`;
  }
  return line.startsWith("Installing collected packages") ? "Unpacking" : undefined;
}

async function fill(folder: string, what: Installation): Promise<void> {
  const python = pythonOf(folder);
  const steps = [
    [...what.python.command, "-m", "venv", folder],
    [python, ...PIP_INSTALL, `${what.wheel.file}[cpu]`],
    [...commandOf(folder), "--version"],
  ];
  for (const command of steps) {
    what.onCommand(command);
    const outcome = await what.run(command, { signal: what.signal, onLine: what.onLine });
    if (what.signal.aborted) {
      throw new CancelledError("The installation was cancelled.");
    }
    if (outcome.code !== 0) {
      throw new InstallError(`${command.slice(0, 4).join(" ")} … failed: ${reason(outcome)}`);
    }
  }
}

function reason(outcome: Outcome): string {
  if (outcome.failure !== undefined) {
    return outcome.failure;
  }
  const lines = `${outcome.stdout}\n${outcome.stderr}`.split(/\r?\n/).filter((line) => line.trim() !== "");
  // pip's own sentence says more than the traceback or the hints around it.
  return (lines.findLast((line) => line.startsWith("ERROR:")) ?? lines.at(-1) ?? `code ${outcome.code ?? "none"}`).trim();
}

function environments(root: string): Environment[] {
  return folders(root)
    .map((name) => read(path.join(root, name)))
    .filter((one) => one !== undefined)
    .sort((a, b) => b.installedAt - a.installedAt);
}

function read(folder: string): Environment | undefined {
  try {
    const marker: unknown = JSON.parse(readFileSync(path.join(folder, MARKER), "utf8"));
    const { version, sha256, installedAt } = marker as Environment;
    return { folder, version, sha256, installedAt, command: commandOf(folder) };
  } catch {
    return undefined;
  }
}

function folders(root: string): string[] {
  if (!existsSync(root)) {
    return [];
  }
  const entries = readdirSync(root, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
}

function pythonOf(folder: string): string {
  return process.platform === "win32"
    ? path.join(folder, "Scripts", "python.exe")
    : path.join(folder, "bin", "python");
}

// Isolated, so that neither the project's folder nor PYTHONPATH can put other modules before ours.
function commandOf(folder: string): readonly string[] {
  return [pythonOf(folder), "-I", "-m", "midfill_server"];
}

// There are ten thousand files in it: removing them at once would hold up every extension.
function removeFolder(folder: string): Promise<void> {
  return rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
}

/** Keep other windows from installing at the same time; a lock whose owner is gone is taken over. */
function lock(root: string): () => void {
  if (isLocked(root)) {
    throw new InstallError("Another window is installing the server. Wait for it, then restart the server here.");
  }
  const file = path.join(root, LOCK);
  writeFileSync(file, String(process.pid));
  return () => {
    rmSync(file, { force: true });
  };
}

function isLocked(root: string): boolean {
  const file = path.join(root, LOCK);
  try {
    // After a crash its number may be another program's by now.
    const isRecent = Date.now() - statSync(file).mtimeMs < LOCK_HOLDS_MS;
    return isRecent && isAlive(Number(readFileSync(file, "utf8")));
  } catch {
    return false;
  }
}

function isUsed(folder: string): boolean {
  const users = path.join(folder, USERS);
  return existsSync(users) && readdirSync(users).some((user) => isAlive(Number(user)));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
