// Where the cursor rests: the server computes there ahead of the first key.

import * as vscode from "vscode";
import type { PauseControl } from "./pausing.ts";
import type { Session } from "./types.ts";

const METHOD = "midfill/didMoveCursor";

// Somebody who holds an arrow key passes many lines and rests in none.
const REST_MS = 60;

/** Tell the server where the cursor is, whenever it moves without an edit or a file is shown. */
export function reportCursor(session: Session, pausing: PauseControl): vscode.Disposable {
  const versions = new WeakMap<vscode.TextDocument, number>();
  let timer: NodeJS.Timeout | undefined;
  const report = (): void => {
    const editor = vscode.window.activeTextEditor;
    const { client } = session;
    if (editor === undefined || client === undefined) {
      return;
    }
    const { document, selection } = editor;
    // What is computed ahead is for a suggestion, and where it is paused there is none.
    if (!selection.isEmpty || !isServed(session, document) || pausing.of(document) !== undefined) {
      return;
    }
    const { uri } = client.code2ProtocolConverter.asTextDocumentIdentifier(document);
    const position = client.code2ProtocolConverter.asPosition(selection.active);
    session.notify(METHOD, { textDocument: { uri }, position });
  };
  const soon = (): void => {
    clearTimeout(timer);
    timer = setTimeout(report, REST_MS);
  };
  return vscode.Disposable.from(
    vscode.window.onDidChangeTextEditorSelection(({ textEditor: { document } }) => {
      const known = versions.get(document);
      versions.set(document, document.version);
      // The server sees an edit itself, and knows where that is.
      if (known === undefined || known === document.version) {
        soon();
      } else {
        clearTimeout(timer);
      }
    }),
    vscode.window.onDidChangeActiveTextEditor(soon),
    session.onReady(soon),
    pausing.onChange(soon),
    { dispose: () => { clearTimeout(timer); } },
  );
}

/** Say whether the server knows a document at all. */
export function isServed(session: Session, document: vscode.TextDocument): boolean {
  const selector = session.client?.clientOptions.documentSelector;
  return selector !== undefined && vscode.languages.match(selector as vscode.DocumentSelector, document) > 0;
}
