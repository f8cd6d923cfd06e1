// The server as the user meets it: found, or offered to be installed, with what is wrong said.

import * as vscode from "vscode";
import { serverChoice } from "./config.ts";
import { discover, type Found, type Problem } from "./discovery.ts";
import { bundledWheel, findEnvironment, markUsed, removeOthers, type Wheel } from "./environment.ts";
import { Installer } from "./installer.ts";
import { run } from "./processes.ts";
import type { Session } from "./types.ts";

const ABSENT =
  "midfill needs its server: a Python program, 0.3 GB with all that it uses, in a folder of its own.";
const DECLINED_UPDATE = "midfill.declinedUpdate";

/** Finds the server, and leads the user to one. */
export class Server {
  private readonly context: vscode.ExtensionContext;
  private readonly log: vscode.LogOutputChannel;
  private readonly installer: Installer;
  private readonly session: () => Session;

  /** `session` is asked for later: it is made with this. */
  constructor(context: vscode.ExtensionContext, log: vscode.LogOutputChannel, session: () => Session) {
    this.context = context;
    this.log = log;
    this.session = session;
    this.installer = new Installer(this.root, log);
  }

  /** Return the command line of a server that can be used; if there is none, say what to do. */
  readonly locate = async (): Promise<readonly string[] | undefined> => {
    const choice = serverChoice();
    const wheel = this.wheel();
    const installed = findEnvironment(this.root, wheel);
    const { found, problems } = await discover(
      {
        path: choice.path,
        args: choice.args,
        installed: installed?.command,
        environment: process.env,
        platform: process.platform,
      },
      run,
    );
    for (const problem of problems) {
      this.log.warn(problem.text);
    }
    if (found === undefined) {
      void this.offer(problems[0]);
      return undefined;
    }
    this.log.info(`Found the server, version ${found.version} (${found.origin})`);
    if (found.origin === "installed" && installed !== undefined && wheel !== undefined) {
      markUsed(installed, process.pid);
      if (installed.sha256 === wheel.sha256) {
        removeOthers(this.root, installed).catch((error: unknown) => {
          this.log.warn(`An older server could not be removed: ${String(error)}`);
        });
      } else {
        void this.offerUpdate(found, wheel);
      }
    }
    return found.command;
  };

  /** Install the server that comes with the extension, and start it. */
  async install(): Promise<void> {
    const wheel = this.wheel();
    if (wheel === undefined) {
      void vscode.window.showErrorMessage(
        "This build of the extension has no server in it. Install midfill with pip, and name the program in midfill.server.path.",
      );
      return;
    }
    const again = findEnvironment(this.root, wheel)?.sha256 === wheel.sha256;
    if (again) {
      // It may run from the very files that are replaced.
      await this.session().stop();
    }
    const done = await this.session().whileInstalling(() =>
      this.installer.install(wheel, serverChoice().python),
    );
    if (done) {
      await this.leaveOwnPath();
    }
    if (done || again) {
      await this.session().restart();
    }
  }

  async choosePath(): Promise<void> {
    const chosen = await vscode.window.showOpenDialog({ title: "The program midfill", openLabel: "Use" });
    const file = chosen?.[0]?.fsPath;
    if (file !== undefined) {
      // Whoever watches the settings starts it.
      await vscode.workspace
        .getConfiguration("midfill.server")
        .update("path", file, vscode.ConfigurationTarget.Global);
    }
  }

  /** Show the extension's page. The editor's own view of it would ask the web first. */
  async help(): Promise<void> {
    const { extensionUri } = this.context;
    const files = await vscode.workspace.fs.readDirectory(extensionUri);
    // Packaging changes the case.
    const [page] = files.find(([name]) => name.toLowerCase() === "readme.md") ?? [];
    if (page !== undefined) {
      await vscode.commands.executeCommand("markdown.showPreview", vscode.Uri.joinPath(extensionUri, page));
    }
  }

  private get root(): string {
    return vscode.Uri.joinPath(this.context.globalStorageUri, "server-env").fsPath;
  }

  private wheel(): Wheel | undefined {
    return bundledWheel(vscode.Uri.joinPath(this.context.extensionUri, "server").fsPath);
  }

  private async offer(problem: Problem | undefined): Promise<void> {
    const buttons = ["Choose Path…", "Help"];
    // Where a path was set, that is what has to be put right.
    buttons.unshift(problem?.candidate.origin === "setting" ? "Open Settings" : "Install");
    const chosen = await (problem === undefined
      ? vscode.window.showInformationMessage(ABSENT, ...buttons)
      : vscode.window.showErrorMessage(`midfill: ${problem.text}`, ...buttons));
    if (chosen === "Install") {
      await this.install();
    } else if (chosen === "Choose Path…") {
      await this.choosePath();
    } else if (chosen === "Open Settings") {
      await vscode.commands.executeCommand("workbench.action.openSettings", "midfill.server");
    } else if (chosen === "Help") {
      await this.help();
    }
  }

  /** Ask once per version whether the newer server is to be installed. */
  private async offerUpdate(found: Found, wheel: Wheel): Promise<void> {
    if (this.context.globalState.get(DECLINED_UPDATE) === wheel.sha256) {
      return;
    }
    const from = found.version === wheel.version ? "" : ` (${found.version} → ${wheel.version})`;
    const text = `midfill: this version of the extension comes with a newer server${from}.`;
    const chosen = await vscode.window.showInformationMessage(text, "Update", "Not Now");
    if (chosen === "Update") {
      await this.install();
    } else if (chosen === "Not Now") {
      await this.context.globalState.update(DECLINED_UPDATE, wheel.sha256);
    }
  }

  /** Who installs while a path is set would go on with the server at that path. */
  private async leaveOwnPath(): Promise<void> {
    const { path } = serverChoice();
    if (path.trim() === "") {
      return;
    }
    const text = `The setting midfill.server.path still names ${path}.`;
    const chosen = await vscode.window.showWarningMessage(text, "Use the Installed Server", "Keep the Path");
    if (chosen === "Use the Installed Server") {
      const section = vscode.workspace.getConfiguration("midfill.server");
      await section.update("path", undefined, vscode.ConfigurationTarget.Global);
    }
  }
}
