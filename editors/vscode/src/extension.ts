// What the extension is made of. Only wiring: each part is in a module of its own.
//
// activate(context) builds, in this order: the log, the server (found or offered to be installed),
// the session (a client that is made anew when the server ended), and what the user sees of it (the
// face). The parts hear of each new client by `session.onClient`, and listen for its notifications.

import * as vscode from "vscode";
import { ServerSession } from "./client.ts";
import { choosesOtherServer } from "./config.ts";
import { showFace } from "./face.ts";
import { offerTo } from "./offering.ts";
import { showCommand } from "./output.ts";
import { Server } from "./server.ts";
import type { Session } from "./types.ts";

let session: ServerSession | undefined;

/** Called by the editor once it has started. Returns the session, which the tests look at. */
export function activate(context: vscode.ExtensionContext): Session {
  const log = vscode.window.createOutputChannel("midfill", { log: true });
  const server: Server = new Server(context, log, () => running);
  const running = new ServerSession(context.extension, log, server.locate);
  session = running;
  running.middleware = showFace(context, running);

  context.subscriptions.push(
    log,
    running,
    ...commands(running, server, log),
    vscode.workspace.onDidChangeConfiguration((change) => {
      if (choosesOtherServer(change)) {
        void running.restart();
      }
    }),
  );
  void running.restart();
  return running;
}

/** Called by the editor before it ends; it waits for the server to end. */
export async function deactivate(): Promise<void> {
  await session?.stop();
}

function commands(running: Session, server: Server, log: vscode.LogOutputChannel): vscode.Disposable[] {
  const show = (name: string) => () => {
    const command = running.serverCommand();
    if (command === undefined) {
      void offerTo("Install", "midfill's server is not installed.", "midfill.install");
    } else {
      showCommand(name, [...command, name]);
    }
  };
  const table: Record<string, () => unknown> = {
    "midfill.restart": () => running.restart(),
    "midfill.install": () => server.install(),
    "midfill.showLog": () => {
      log.show();
    },
    "midfill.openSettings": () =>
      vscode.commands.executeCommand("workbench.action.openSettings", "@ext:midfill.midfill"),
    "midfill.doctor": show("doctor"),
    "midfill.stats": show("stats"),
  };
  return Object.entries(table).map(([name, handler]) => vscode.commands.registerCommand(name, handler));
}
