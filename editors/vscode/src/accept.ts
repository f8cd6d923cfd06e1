// Accepting a word or a line, told to the server; asking by hand; and what ends a suggestion.

import * as vscode from "vscode";
import type { GhostText } from "./ghost.ts";
import type { Session } from "./types.ts";

const DID_ACCEPT_PART_METHOD = "textDocument/didPartiallyAcceptCompletion";

/** Register the commands that act on ghost text. All is done by the editor's own commands. */
export function registerAcceptance(session: Session, ghost: GhostText): vscode.Disposable {
  const { registerCommand, executeCommand } = vscode.commands;
  return vscode.Disposable.from(
    registerCommand("midfill.acceptWord", () =>
      acceptPart(session, ghost, "editor.action.inlineSuggest.acceptNextWord"),
    ),
    registerCommand("midfill.acceptLine", () =>
      acceptPart(session, ghost, "editor.action.inlineSuggest.acceptNextLine"),
    ),
    registerCommand("midfill.trigger", () => ghost.ask(vscode.InlineCompletionTriggerKind.Invoke)),
    registerCommand("midfill.dismiss", () => {
      ghost.stopGrowing();
      return executeCommand("editor.action.inlineSuggest.hide");
    }),
  );
}

async function acceptPart(session: Session, ghost: GhostText, command: string): Promise<void> {
  const document = vscode.window.activeTextEditor?.document;
  let end: number | undefined;
  const listening = vscode.workspace.onDidChangeTextDocument((event) => {
    const [change] = event.contentChanges;
    if (event.document === document && change !== undefined) {
      end = change.rangeOffset + change.text.length;
    }
  });
  try {
    await vscode.commands.executeCommand(command);
  } finally {
    listening.dispose();
  }
  if (document === undefined || end === undefined) {
    return;
  }
  const accepted = ghost.offers.partAccepted(document.uri.toString(), document.getText(), end);
  if (accepted !== undefined) {
    const { item, length } = accepted;
    session.notify(DID_ACCEPT_PART_METHOD, { item, acceptedLength: length });
  }
}
