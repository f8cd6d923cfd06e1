// Keys that came before a model could answer: the editor asks about each only once.

import * as vscode from "vscode";
import type { GhostText } from "./ghost.ts";
import type { Session } from "./types.ts";

// Somebody who stopped typing longer ago looks at something else by now.
const LATELY_MS = 30_000;

/** What was typed last. */
interface Typed {
  readonly document: vscode.TextDocument;
  readonly version: number;
  readonly atMs: number;
}

/** Have the editor ask once more, as soon as suggestions are possible, where somebody is typing. */
export function askForMissed(session: Session, ghost: GhostText): vscode.Disposable {
  let typed: Typed | undefined;
  return vscode.Disposable.from(
    vscode.workspace.onDidChangeTextDocument(({ document, contentChanges, reason }) => {
      const editor = vscode.window.activeTextEditor;
      if (contentChanges.length > 0 && reason === undefined && document === editor?.document) {
        typed = { document, version: document.version, atMs: Date.now() };
      }
    }),
    vscode.window.onDidChangeTextEditorSelection(({ textEditor, kind }) => {
      // Whoever goes elsewhere has asked for nothing there.
      if (textEditor.document === typed?.document && kind === vscode.TextEditorSelectionChangeKind.Mouse) {
        typed = undefined;
      }
    }),
    session.onReady(() => {
      const document = vscode.window.activeTextEditor?.document;
      if (
        typed !== undefined &&
        typed.document === document &&
        typed.version === document.version &&
        Date.now() - typed.atMs < LATELY_MS &&
        !ghost.isServing(document)
      ) {
        void ghost.ask(vscode.InlineCompletionTriggerKind.Automatic);
      }
    }),
  );
}
