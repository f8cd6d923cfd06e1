// Where the server is, and whether what is found there can be used. Nothing here knows the editor.

import { accessSync, constants, statSync } from "node:fs";
import { homedir } from "node:os";
import * as path from "node:path";
import type { Outcome, Run } from "./processes.ts";
import { isAtLeast } from "./versions.ts";

/** The oldest server that says what this extension relies on. */
export const MINIMUM_SERVER = "0.1.0";

// Python starts slowly from a cold disk, and under a virus scanner.
const ANSWER_WITHIN_MS = 30_000;

/** Where a server was found: the user's setting, the extension's own environment, the PATH. */
export type Origin = "setting" | "installed" | "path";

export interface Candidate {
  readonly origin: Origin;
  readonly command: readonly string[];
}

export interface Found extends Candidate {
  readonly version: string;
}

/** Why a candidate cannot be used; `text` is for the user and a whole sentence. */
export interface Problem {
  readonly kind: "missing" | "not-executable" | "old-python" | "too-old" | "foreign" | "failed";
  readonly candidate: Candidate;
  readonly text: string;
}

export interface Places {
  readonly path: string;
  readonly args: readonly string[];
  /** The command of the environment that the extension made, if there is one. */
  readonly installed: readonly string[] | undefined;
  readonly environment: NodeJS.ProcessEnv;
  readonly platform: NodeJS.Platform;
}

/** Return what is to be tried, in this order. What the user named is the only one, if he did. */
export function candidates(places: Places): Candidate[] {
  const named = places.path.trim();
  if (named !== "") {
    const program = resolveProgram(named, places);
    return [{ origin: "setting", command: [program, ...places.args] }];
  }
  const found: Candidate[] = [];
  if (places.installed !== undefined) {
    found.push({ origin: "installed", command: places.installed });
  }
  const onPath = lookUp("midfill", places);
  if (onPath !== undefined) {
    found.push({ origin: "path", command: [onPath] });
  }
  return found;
}

/** Return the first candidate that is a fitting server, and what is wrong with those before it. */
export async function discover(
  places: Places,
  run: Run,
): Promise<{ found: Found | undefined; problems: Problem[] }> {
  const problems: Problem[] = [];
  for (const candidate of candidates(places)) {
    const result = await check(candidate, run);
    if ("version" in result) {
      return { found: result, problems };
    }
    problems.push(result);
  }
  return { found: undefined, problems };
}

/** Ask a candidate for its version, and say what is wrong if that cannot be used. */
export async function check(candidate: Candidate, run: Run): Promise<Found | Problem> {
  const outcome = await run([...candidate.command, "--version"], {
    timeoutMs: ANSWER_WITHIN_MS,
    cwd: homedir(),
  });
  const shown = candidate.command.join(" ");
  const problem = (kind: Problem["kind"], text: string): Problem => ({ kind, candidate, text });
  if (outcome.failure !== undefined) {
    return outcome.failure === "ENOENT"
      ? problem("missing", `There is no program ${shown}.`)
      : problem("not-executable", `${shown} cannot be run (${outcome.failure}).`);
  }
  if (outcome.timedOut) {
    const seconds = ANSWER_WITHIN_MS / 1000;
    return problem("failed", `${shown} --version did not answer within ${seconds} seconds.`);
  }
  if (comesFromOldPython(outcome.stderr)) {
    return problem("old-python", `${shown} runs on a Python that is older than 3.11.`);
  }
  if (outcome.code !== 0) {
    return problem("failed", `${shown} --version failed: ${lastLine(outcome)}`);
  }
  const version = /^midfill (\d\S*)$/m.exec(outcome.stdout.trim())?.[1];
  if (version === undefined) {
    return problem("foreign", `${shown} is something else than midfill's server.`);
  }
  if (!isAtLeast(version, MINIMUM_SERVER)) {
    const needed = `this extension needs ${MINIMUM_SERVER} or newer`;
    return problem("too-old", `${shown} is version ${version}; ${needed}.`);
  }
  return { ...candidate, version };
}

/** Return the full path of a program on the PATH. Only whole paths on it count. */
export function lookUp(name: string, places: Pick<Places, "environment" | "platform">): string | undefined {
  const windows = places.platform === "win32";
  const rules = windows ? path.win32 : path.posix;
  // A relative folder would mean the project's, whose programs are not to be run.
  const folders = (places.environment["PATH"] ?? places.environment["Path"] ?? "")
    .split(rules.delimiter)
    .filter((folder) => rules.isAbsolute(folder));
  // Nothing but .exe: others can only be started through a shell.
  const file = windows && !name.toLowerCase().endsWith(".exe") ? `${name}.exe` : name;
  return folders.map((folder) => rules.join(folder, file)).find(isProgram);
}

function resolveProgram(named: string, places: Places): string {
  if (named === "~" || /^~[/\\]/.test(named)) {
    return path.join(homedir(), named.slice(1));
  }
  if (/[/\\]/.test(named)) {
    return path.resolve(homedir(), named);
  }
  return lookUp(named, places) ?? named;
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

// pip does not install midfill there, but a checkout can be run by any Python.
function comesFromOldPython(stderr: string): boolean {
  return /^SyntaxError: |No module named 'tomllib'|cannot import name '\w+' from 'typing'/m.test(stderr);
}

function lastLine(outcome: Outcome): string {
  const text = `${outcome.stdout}\n${outcome.stderr}`.trim();
  const last = text.split(/\r?\n/).at(-1) ?? "";
  return last === "" ? `it ended with code ${outcome.code ?? "none"}` : last;
}
