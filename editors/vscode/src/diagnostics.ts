// What others found wrong in the open files: the model is shown it where it may help.

import * as vscode from "vscode";
import { isServed } from "./cursor.ts";
import type { Session } from "./types.ts";

const METHOD = "midfill/didChangeDiagnostics";
const QUIET_MS = 300;
const MOST = 100;

/** Tell the server what other tools say about the open documents, once they have come to rest. */
export function reportDiagnostics(session: Session): vscode.Disposable {
  const waiting = new Set<string>();
  const told = new Set<string>();
  let timer: NodeJS.Timeout | undefined;
  const report = (): void => {
    const documents = vscode.workspace.textDocuments.filter(
      (document) => waiting.has(document.uri.toString()) && isServed(session, document),
    );
    waiting.clear();
    for (const document of documents) {
      send(session, document, told);
    }
  };
  const soon = (uris: readonly vscode.Uri[]): void => {
    for (const uri of uris) {
      waiting.add(uri.toString());
    }
    clearTimeout(timer);
    timer = setTimeout(report, QUIET_MS);
  };
  return vscode.Disposable.from(
    vscode.languages.onDidChangeDiagnostics(({ uris }) => {
      soon(uris);
    }),
    session.onClient(() => {
      told.clear();
    }),
    session.onReady(() => {
      // A new server knows nothing yet.
      soon(vscode.workspace.textDocuments.map((document) => document.uri));
    }),
    { dispose: () => { clearTimeout(timer); } },
  );
}

function send(session: Session, document: vscode.TextDocument, told: Set<string>): void {
  const { client } = session;
  if (client === undefined) {
    return;
  }
  const name = document.uri.toString();
  const others = vscode.languages
    .getDiagnostics(document.uri)
    .filter(({ source }) => source !== "midfill")
    .sort((one, other) => one.severity - other.severity)
    .slice(0, MOST);
  if (others.length === 0 && !told.has(name)) {
    return;
  }
  told.add(name);
  const converter = client.code2ProtocolConverter;
  session.notify(METHOD, {
    ...converter.asVersionedTextDocumentIdentifier(document),
    diagnostics: others.map((diagnostic) => converter.asDiagnostic(diagnostic)),
  });
}
