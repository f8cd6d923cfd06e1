// Programs that run to their end: with a limit, and stopped together with what they started.

import { type ChildProcess, spawn } from "node:child_process";

/** What a program did. `failure` is the system's code if it could not be started at all. */
export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly failure: string | undefined;
  readonly timedOut: boolean;
}

export interface RunOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly onLine?: (line: string) => void;
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** Runs a program; the tests of what calls it have one of their own. */
export type Run = (command: readonly string[], options?: RunOptions) => Promise<Outcome>;

/** Run a program without a shell. It never rejects: the outcome says what went wrong. */
export const run: Run = (command, options = {}) =>
  new Promise((resolve) => {
    const texts = { stdout: "", stderr: "" };
    let timedOut = false;
    let timer: NodeJS.Timeout | undefined;
    const child = start(command, options);
    const kill = (): void => {
      killTree(child);
    };
    const end = (code: number | null, failure: string | undefined): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", kill);
      resolve({ code, failure, timedOut, ...texts });
    };
    child.on("error", (error: NodeJS.ErrnoException) => {
      end(null, error.code ?? error.message);
    });
    child.on("close", (code) => {
      end(code, undefined);
    });
    for (const name of ["stdout", "stderr"] as const) {
      const lines = new LineReader(options.onLine);
      child[name]?.setEncoding("utf8").on("data", (text: string) => {
        texts[name] += text;
        lines.add(text);
      });
    }
    if (options.timeoutMs !== undefined) {
      timer = setTimeout(() => {
        timedOut = true;
        kill();
      }, options.timeoutMs);
    }
    options.signal?.addEventListener("abort", kill);
    if (options.signal?.aborted === true) {
      kill();
    }
  });

function start(command: readonly string[], options: RunOptions): ChildProcess {
  const [program = "", ...args] = command;
  return spawn(program, args, {
    stdio: ["ignore", "pipe", "pipe"],
    windowsHide: true,
    // A group of its own, so that pip's own children end with it.
    detached: process.platform !== "win32",
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env }),
  });
}

/** End a process and all that it started. */
export function killTree(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null) {
    return;
  }
  if (process.platform === "win32") {
    spawn("taskkill", ["/pid", String(child.pid), "/T", "/F"], { windowsHide: true });
    return;
  }
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // It ended by itself in the meantime.
  }
}

class LineReader {
  private readonly onLine: ((line: string) => void) | undefined;
  private rest = "";

  constructor(onLine: ((line: string) => void) | undefined) {
    this.onLine = onLine;
  }

  add(text: string): void {
    const lines = (this.rest + text).split(/\r\n|\n|\r/);
    this.rest = lines.pop() ?? "";
    for (const line of lines) {
      this.onLine?.(line);
    }
  }
}
