// The first steps: the server, the model, a sample in which Tab works, the keys.

import * as vscode from "vscode";
import type { GhostText } from "./ghost.ts";
import type { Session } from "./types.ts";

const WALKTHROUGH = "midfill.midfill#midfill.start";
const OPEN_COMMAND = "midfill.openWalkthrough";
// The editor does not say when it has read the walkthroughs of its extensions.
const READ_WITHIN_MS = 1_000;
const SEEN_KEY = "midfill.walkthroughSeen";
// What is typed at this place of the sample is completed.
const CURSOR = "# <cursor>";

/** Register what the walkthrough's buttons do, and keep up what its steps are ticked by. */
export function registerWalkthrough(
  context: vscode.ExtensionContext,
  session: Session,
  ghost: GhostText,
): vscode.Disposable {
  const { registerCommand } = vscode.commands;
  const ticks = new Ticks(session);
  return vscode.Disposable.from(
    registerCommand(OPEN_COMMAND, () => openWalkthrough(ticks)),
    registerCommand("midfill.openSample", () => openSample(context.extensionUri, ghost)),
    ghost.onAccepted(() => {
      ticks.set("midfill.hasAccepted", true);
    }),
    session.onStatus(() => {
      ticks.follow();
    }),
  );
}

/** Open the walkthrough, the first time that the extension runs for this user. */
export async function greet(context: vscode.ExtensionContext): Promise<void> {
  const workbench = vscode.workspace.getConfiguration("workbench");
  // Who wants nothing opened unasked has told the editor so.
  const isUnwanted =
    context.extensionMode === vscode.ExtensionMode.Test ||
    workbench.get("startupEditor") === "none" ||
    workbench.get("welcomePage.walkthroughs.openOnInstall") === false;
  if (isUnwanted || context.globalState.get<boolean>(SEEN_KEY) === true) {
    return;
  }
  await context.globalState.update(SEEN_KEY, true);
  await vscode.commands.executeCommand(OPEN_COMMAND);
}

/**
 * What the steps of the walkthrough are ticked by: context keys that become true.
 *
 * The editor ticks a step only if its key becomes true after it has read the walkthrough, which it
 * does when it opens one for the first time. So they are held back until then.
 */
class Ticks {
  private readonly values = new Map<string, boolean>();
  private readonly session: Session;
  private areHeard = false;

  constructor(session: Session) {
    this.session = session;
    this.follow();
  }

  /** Take over how it stands with the server. */
  follow(): void {
    const found = this.session.client?.isRunning() === true;
    this.set("midfill.serverFound", found);
    this.set("midfill.modelReady", found && this.session.status.state === "ready");
  }

  set(name: string, value: boolean): void {
    const isNew = this.values.get(name) !== value;
    this.values.set(name, value);
    if (isNew && this.areHeard) {
      void setContext(name, value);
    }
  }

  /** To be called when the editor listens to them. */
  tell(): void {
    this.areHeard = true;
    for (const [name, value] of this.values) {
      void setContext(name, value);
    }
  }
}

async function openWalkthrough(ticks: Ticks): Promise<void> {
  await vscode.commands.executeCommand("workbench.action.openWalkthrough", WALKTHROUGH, false);
  setTimeout(() => {
    ticks.tell();
  }, READ_WITHIN_MS);
}

/** Show the sample, with the cursor where a suggestion comes. Nothing is saved anywhere. */
async function openSample(extension: vscode.Uri, ghost: GhostText): Promise<void> {
  const file = vscode.Uri.joinPath(extension, "walkthrough", "sample.py");
  const source = new TextDecoder().decode(await vscode.workspace.fs.readFile(file));
  const at = source.indexOf(CURSOR);
  const content = source.replace(CURSOR, "");
  const document = await vscode.workspace.openTextDocument({ language: "python", content });
  const cursor = document.positionAt(at);
  const editor = await vscode.window.showTextDocument(document, {
    selection: new vscode.Range(cursor, cursor),
  });
  editor.revealRange(new vscode.Range(cursor, cursor), vscode.TextEditorRevealType.InCenter);
  // Nothing was typed yet, so the editor does not ask by itself.
  await ghost.ask(vscode.InlineCompletionTriggerKind.Automatic);
}

function setContext(name: string, value: boolean): Thenable<unknown> {
  return vscode.commands.executeCommand("setContext", name, value);
}
