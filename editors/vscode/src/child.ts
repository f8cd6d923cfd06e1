// The server's process: started, heard on stderr, and ended for certain.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { homedir } from "node:os";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import type { LogOutputChannel } from "vscode";
import { killTree } from "./processes.ts";

// After it was asked to leave; what it writes to disk survives a kill.
const LEAVES_WITHIN_MS = 2_000;

/** Start the server on stdio. Rejects if that is not possible at all. */
export async function startServer(
  command: readonly string[],
  log: LogOutputChannel,
): Promise<ChildProcess> {
  const [program = "", ...args] = command;
  const child = spawn(program, [...args, "serve", "--stdio"], {
    // Not the project's folder: nothing in it is to change what runs.
    cwd: homedir(),
    stdio: "pipe",
    windowsHide: true,
  });
  await once(child, "spawn");
  child.once("exit", (code, signal) => {
    log.info(`The server ended with ${signal ?? `code ${code ?? "none"}`}`);
  });
  // A write after its end; that it ended is told by other means.
  child.stdin.on("error", () => undefined);
  return child;
}

/** Wait until a server that was asked to leave has left, and end it if it does not. */
export async function endServer(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) {
    return;
  }
  // The end of its input, for one that has not come as far as to understand a request.
  child.stdin?.end();
  const timer = setTimeout(() => {
    if (process.platform === "win32") {
      killTree(child);
    } else {
      child.kill("SIGKILL");
    }
  }, LEAVES_WITHIN_MS);
  await once(child, "exit");
  clearTimeout(timer);
}

/** Write what the server says on stderr into the log, each line at the level that it names. */
export function toLog(input: Readable, log: LogOutputChannel): void {
  createInterface({ input, crlfDelay: Infinity }).on("line", (line) => {
    const level = /^[\d-]+ [\d:,]+ \d+ (\w+) /.exec(line)?.[1];
    if (level === "ERROR" || level === "CRITICAL") {
      log.error(line);
    } else if (level === "WARNING") {
      log.warn(line);
    } else if (level === "DEBUG") {
      log.debug(line);
    } else {
      log.info(line);
    }
  });
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}
