// The installation as the user sees it: each command, its progress, a way out, and what failed.

import * as vscode from "vscode";
import { CancelledError, type Environment, install, InstallError, pipStep, type Wheel } from "./environment.ts";
import { run } from "./processes.ts";
import { findPython, type Python } from "./python.ts";

const PYTHON_PAGE = "https://www.python.org/downloads/";

type Progress = vscode.Progress<{ message?: string }>;

/** Installs into the extension's own folder, one installation at a time. */
export class Installer {
  private readonly root: string;
  private readonly log: vscode.LogOutputChannel;
  private running = false;

  constructor(root: string, log: vscode.LogOutputChannel) {
    this.root = root;
    this.log = log;
  }

  /** Install; what goes wrong is told to the user. Return whether it succeeded. */
  async install(wheel: Wheel, chosenPython: string): Promise<boolean> {
    if (this.running) {
      return false;
    }
    this.running = true;
    try {
      return await this.once(wheel, chosenPython);
    } finally {
      this.running = false;
    }
  }

  private async once(wheel: Wheel, chosenPython: string): Promise<boolean> {
    const { python, refused } = await findPython(chosenPython, process.platform, run);
    if (python === undefined) {
      void this.tellNoPython(chosenPython, refused);
      return false;
    }
    try {
      const made = await vscode.window.withProgress(
        {
          location: vscode.ProgressLocation.Notification,
          title: `Installing midfill's server with Python ${python.version}`,
          cancellable: true,
        },
        (progress, token) => this.fill(wheel, python, progress, token),
      );
      this.log.info(`Installed version ${made.version} into ${made.folder}`);
      return true;
    } catch (error) {
      if (!(error instanceof InstallError) && !isOfSystem(error)) {
        throw error;
      }
      this.log.error(error.message);
      if (!(error instanceof CancelledError)) {
        void this.tellFailure(error.message);
      }
      return false;
    }
  }

  private fill(
    wheel: Wheel,
    python: Python,
    progress: Progress,
    token: vscode.CancellationToken,
  ): Promise<Environment> {
    const controller = new AbortController();
    token.onCancellationRequested(() => {
      controller.abort();
    });
    return install({
      root: this.root,
      wheel,
      python,
      run,
      signal: controller.signal,
      onCommand: (command) => {
        const shown = command.join(" ");
        this.log.info(`$ ${shown}`);
        progress.report({ message: shown });
      },
      onLine: (line) => {
        this.log.info(line);
        const message = pipStep(line);
        if (message !== undefined) {
          progress.report({ message });
        }
      },
    });
  }

  private async tellNoPython(chosen: string, refused: readonly string[]): Promise<void> {
    const why = refused.length === 0 ? "" : ` ${refused.join("; ")}.`;
    const text =
      chosen.trim() === ""
        ? `midfill's server needs Python 3.11 or newer, and none was found.${why}`
        : `The setting midfill.server.python names no Python that can be used.${why || ` There is no ${chosen}.`}`;
    this.log.error(text);
    const chosenButton = await vscode.window.showErrorMessage(text, "Get Python", "Open Settings");
    if (chosenButton === "Get Python") {
      await vscode.env.openExternal(vscode.Uri.parse(PYTHON_PAGE));
    } else if (chosenButton === "Open Settings") {
      await vscode.commands.executeCommand("workbench.action.openSettings", "midfill.server");
    }
  }

  private async tellFailure(message: string): Promise<void> {
    const chosen = await vscode.window.showErrorMessage(`midfill: ${message}`, "Show Log", "Try Again");
    if (chosen === "Show Log") {
      this.log.show();
    } else if (chosen === "Try Again") {
      await vscode.commands.executeCommand("midfill.install");
    }
  }
}

function isOfSystem(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "code" in error;
}
