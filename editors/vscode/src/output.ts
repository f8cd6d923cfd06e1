// Commands of `midfill` whose answer is a page of text, shown in a terminal that stays.

import { type ChildProcess, spawn } from "node:child_process";
import { homedir } from "node:os";
import * as vscode from "vscode";
import { killTree } from "./processes.ts";

const NARROWEST = 60;

/** Run a command and show what it prints, coloured, as wide as the terminal is. */
export function showCommand(title: string, command: readonly string[]): void {
  const terminal = vscode.window.createTerminal({ name: `midfill ${title}`, pty: new Page(command) });
  terminal.show();
}

/** No shell is between: what stands in the path of the program needs no quoting anywhere. */
class Page implements vscode.Pseudoterminal {
  private readonly writer = new vscode.EventEmitter<string>();
  private readonly command: readonly string[];
  private child: ChildProcess | undefined;
  readonly onDidWrite = this.writer.event;

  constructor(command: readonly string[]) {
    this.command = command;
  }

  open(size: vscode.TerminalDimensions | undefined): void {
    const [program = "", ...args] = this.command;
    this.write(`$ ${this.command.join(" ")}\n`);
    this.child = spawn(program, args, {
      // Not the project's folder: nothing in it is to change what runs.
      cwd: homedir(),
      env: {
        ...process.env,
        FORCE_COLOR: "1",
        PYTHONUTF8: "1",
        COLUMNS: String(Math.max(size?.columns ?? 80, NARROWEST)),
      },
      stdio: ["ignore", "pipe", "pipe"],
      windowsHide: true,
      detached: process.platform !== "win32",
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.write(text);
      });
    }
    this.child.on("error", (error) => {
      this.write(`${error.message}\n`);
    });
    this.child.on("close", (code) => {
      // Another code than 0 is part of the answer: the doctor's is 1 where something is wrong.
      this.write(code === null ? "\nStopped.\n" : "");
    });
  }

  handleInput(data: string): void {
    if (data === "\x03" && this.child !== undefined) {
      killTree(this.child);
    }
  }

  close(): void {
    if (this.child !== undefined) {
      killTree(this.child);
    }
  }

  private write(text: string): void {
    this.writer.fire(text.replace(/\r?\n/g, "\r\n"));
  }
}
