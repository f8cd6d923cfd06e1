// Finds in open Python files what problems.json of the folder says that other tools find there.

const { readFileSync } = require("node:fs");
const path = require("node:path");
const vscode = require("vscode");

exports.activate = (context) => {
  const found = vscode.languages.createDiagnosticCollection("problems");
  const look = (document) => {
    const folder = vscode.workspace.workspaceFolders?.[0]?.uri.fsPath;
    if (document.languageId !== "python" || folder === undefined) {
      return;
    }
    const known = JSON.parse(readFileSync(path.join(folder, "problems.json"), "utf8"));
    const text = document.getText();
    const there = known.filter((problem) => text.includes(problem.text));
    found.set(
      document.uri,
      there.map((problem) => {
        const start = text.indexOf(problem.text);
        const range = new vscode.Range(document.positionAt(start), document.positionAt(start + problem.text.length));
        return Object.assign(new vscode.Diagnostic(range, problem.message), {
          code: problem.code,
          source: problem.source,
        });
      }),
    );
  };
  context.subscriptions.push(
    found,
    vscode.workspace.onDidOpenTextDocument(look),
    vscode.workspace.onDidChangeTextDocument(({ document }) => look(document)),
  );
  vscode.workspace.textDocuments.forEach(look);
};
