// Finding a Python that the server can be installed with.

import type { Run } from "./processes.ts";

const ANSWER_WITHIN_MS = 30_000;
const OLDEST = [3, 11] as const;

// Runs on any Python, so that an old one can say that it is old.
const PROBE = [
  "import sys, json",
  "try:\n import ensurepip, venv\n able = True\nexcept ImportError:\n able = False",
  "print(json.dumps([sys.version_info[0], sys.version_info[1], sys.executable, able, sys.maxsize > 2**32]))",
].join("\n");

export interface Python {
  readonly command: readonly string[];
  readonly version: string;
}

/** The Python that was found, or for each that was tried why it does not do. */
export interface PythonSearch {
  readonly python: Python | undefined;
  readonly refused: readonly string[];
}

/** Return the commands that are tried, best first. */
export function pythonCommands(chosen: string, platform: NodeJS.Platform): readonly string[][] {
  if (chosen.trim() !== "") {
    return [[chosen.trim()]];
  }
  if (platform === "win32") {
    return [["py", "-3"], ["python"], ["python3"]];
  }
  return [["python3.13"], ["python3.12"], ["python3.11"], ["python3"], ["python"]];
}

/** Return the first Python that is new enough and can make environments. */
export async function findPython(
  chosen: string,
  platform: NodeJS.Platform,
  run: Run,
): Promise<PythonSearch> {
  const refused: string[] = [];
  for (const command of pythonCommands(chosen, platform)) {
    const result = await probe(command, run);
    if (typeof result !== "string") {
      return { python: result, refused };
    }
    if (result !== "") {
      refused.push(result);
    }
  }
  return { python: undefined, refused };
}

/** Return the Python, why it does not do, or an empty text if there is none by this name. */
async function probe(command: readonly string[], run: Run): Promise<Python | string> {
  const shown = command.join(" ");
  const outcome = await run([...command, "-I", "-c", PROBE], { timeoutMs: ANSWER_WITHIN_MS });
  if (outcome.failure !== undefined) {
    return outcome.failure === "ENOENT" ? "" : `${shown} cannot be run (${outcome.failure})`;
  }
  const said = parse(outcome.stdout);
  if (said === undefined) {
    return outcome.timedOut ? `${shown} did not answer` : "";
  }
  const version = `${said.major}.${said.minor}`;
  if (said.major !== OLDEST[0] || said.minor < OLDEST[1]) {
    return `${shown} is Python ${version}; 3.11 or newer is needed`;
  }
  if (!said.wide) {
    return `${shown} is a 32-bit Python`;
  }
  if (!said.able) {
    return `${shown} has no venv (on Debian and Ubuntu: sudo apt install python${version}-venv)`;
  }
  return { command: [said.executable], version };
}

interface Answer {
  major: number;
  minor: number;
  executable: string;
  able: boolean;
  wide: boolean;
}

function parse(stdout: string): Answer | undefined {
  let said: unknown;
  try {
    said = JSON.parse(stdout.trim());
  } catch {
    return undefined;
  }
  if (!Array.isArray(said) || said.length !== 5) {
    return undefined;
  }
  const [major, minor, executable, able, wide] = said as [number, number, string, boolean, boolean];
  return { major, minor, executable, able, wide };
}
