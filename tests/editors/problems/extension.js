// Finds in open Python files what problems.json of the folder says that other tools find there.

const { existsSync, readFileSync } = require("node:fs");
const path = require("node:path");
const vscode = require("vscode");

exports.activate = (context) => {
  const found = vscode.languages.createDiagnosticCollection("problems");
  const look = (document) => {
    const folder = vscode.workspace.workspaceFolders?.[0]?.uri.fsPath;
    const told = folder === undefined ? undefined : path.join(folder, "problems.json");
    if (document.languageId !== "python" || told === undefined || !existsSync(told)) {
      return;
    }
    const known = JSON.parse(readFileSync(told, "utf8"));
    const text = document.getText();
    found.set(
      document.uri,
      known.flatMap((problem) =>
        [...text.matchAll(new RegExp(`\\b${problem.text}\\b`, "g"))].map(({ index }) => {
          const range = new vscode.Range(
            document.positionAt(index),
            document.positionAt(index + problem.text.length),
          );
          return Object.assign(new vscode.Diagnostic(range, problem.message), {
            code: problem.code,
            source: problem.source,
          });
        }),
      ),
    );
  };
  context.subscriptions.push(
    found,
    vscode.workspace.onDidOpenTextDocument(look),
    vscode.workspace.onDidChangeTextDocument(({ document }) => look(document)),
  );
  vscode.workspace.textDocuments.forEach(look);
};
