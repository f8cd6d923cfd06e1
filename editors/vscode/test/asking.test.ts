// What is asked for by a command or from the light bulb: explanations, fixes, code for a comment.

import assert from "node:assert/strict";
import * as vscode from "vscode";
import { test, until } from "./runner.ts";
import { clientOf, openScript, readySession } from "./session.ts";

const SCHEME = "midfill-explanation";
const SAID = "It adds its two arguments.";
const ADD = "def add(a, b):\n    return a + b\n";

function explanation(): string | undefined {
  return vscode.workspace.textDocuments.find(({ uri }) => uri.scheme === SCHEME)?.getText();
}

function tabs(): vscode.Tab[] {
  const all = vscode.window.tabGroups.all.flatMap((group) => group.tabs);
  return all.filter(({ input }) => input instanceof vscode.TabInputCustom && input.uri.scheme === SCHEME);
}

async function openText(content: string, line: number, character: number): Promise<vscode.TextEditor> {
  const document = await vscode.workspace.openTextDocument({ language: "python", content });
  const editor = await vscode.window.showTextDocument(document, vscode.ViewColumn.One);
  editor.selection = new vscode.Selection(line, character, line, character);
  return editor;
}

/** Let another extension have found each bad word of a document, while `body` runs. */
async function found(document: vscode.TextDocument, body: () => Promise<void>): Promise<void> {
  const collection = vscode.languages.createDiagnosticCollection("fake");
  const words = [...document.getText().matchAll(/\bbad\w*/g)];
  const diagnostics = words.map((word) => {
    const start = document.positionAt(word.index);
    const end = start.translate(0, word[0].length);
    const one = new vscode.Diagnostic(new vscode.Range(start, end), `'${word[0]}' is bad`);
    one.source = "fake";
    one.code = "B1";
    return one;
  });
  try {
    collection.set(document.uri, diagnostics);
    await body();
  } finally {
    collection.dispose();
  }
}

async function actions(editor: vscode.TextEditor, resolved = 0): Promise<vscode.CodeAction[]> {
  return await vscode.commands.executeCommand<vscode.CodeAction[]>(
    "vscode.executeCodeActionProvider",
    editor.document.uri,
    editor.selection,
    undefined,
    resolved,
  );
}

test("what is selected is explained beside the code, where the focus stays", async () => {
  await readySession();
  const editor = await openText(ADD, 0, 0);
  editor.selection = new vscode.Selection(0, 0, 1, 16);
  await vscode.commands.executeCommand("midfill.explainHere");
  await until(
    () => explanation()?.includes("may be wrong") === true,
    () => String(explanation()),
  );
  assert.ok(explanation()?.includes(SAID), explanation());
  assert.equal(vscode.window.activeTextEditor, editor);
  const [tab, ...others] = tabs();
  assert.deepEqual(others, []);
  assert.notEqual(tab?.group.viewColumn, editor.viewColumn);
});

test("an explanation grows until it is closed", async () => {
  await readySession();
  const editor = await openText(`# #slow\n${ADD}`, 0, 0);
  editor.selection = new vscode.Selection(0, 0, 2, 16);
  const running = vscode.commands.executeCommand("midfill.explainHere");
  await until(
    () => explanation()?.includes("It is slow.") === true && tabs().length === 1,
    () => String(explanation()),
  );
  await vscode.window.tabGroups.close(tabs());
  await running;
  assert.ok(explanation()?.includes("may be wrong") !== true, explanation());
});

test("the light bulb explains a problem", async () => {
  await readySession();
  const editor = await openText("x = bad(1)\n", 0, 5);
  await found(editor.document, async () => {
    const explain = (await actions(editor)).find(({ title }) => title.startsWith("Explain:"));
    assert.ok(explain?.command);
    await vscode.commands.executeCommand(explain.command.command, ...((explain.command.arguments ?? []) as unknown[]));
    await until(
      () => explanation()?.includes(SAID) === true,
      () => String(explanation()),
    );
  });
});

test("the light bulb has a fix that was verified", async () => {
  await readySession();
  const text = '# #text "nice"\nx = bad(1)\n';
  const editor = await openText(text, 1, 5);
  await found(editor.document, async () => {
    let fix: vscode.CodeAction | undefined;
    await until(
      async () => {
        fix = (await actions(editor, 1)).find(({ title }) => title.startsWith("Fix (verified by fake)"));
        return fix !== undefined;
      },
      () => "a fix",
    );
    assert.ok(fix?.edit);
    assert.ok(await vscode.workspace.applyEdit(fix.edit));
    assert.equal(editor.document.getText(), text.replace("bad", "nice"));
  });
});

test("all of a kind are fixed at once", async () => {
  await readySession();
  const text = '# #text "nice"\nx = bad(1)\ny = bad(2)\n';
  const editor = await openText(text, 2, 5);
  await found(editor.document, async () => {
    await vscode.commands.executeCommand("midfill.fixAllHere");
    await until(
      () => editor.document.getText() === text.replaceAll("bad", "nice"),
      () => editor.document.getText(),
    );
  });
});

test("code is written for a comment", async () => {
  await readySession();
  const editor = await openScript("total = sum(values)", "# the sum of all values");
  await vscode.commands.executeCommand("midfill.generateHere");
  await until(
    () => editor.document.getText().trimEnd().endsWith("# the sum of all values\ntotal = sum(values)"),
    () => editor.document.getText(),
  );
});

test("the light bulb computes a fix once it is chosen", async () => {
  await readySession();
  const text = '# #text "right"\nx = bad(1)\n';
  const editor = await openText(text, 1, 5);
  await found(editor.document, async () => {
    await vscode.commands.executeCommand("editor.action.codeAction", { kind: "quickfix", apply: "first" });
    await until(
      () => editor.document.getText() === text.replace("bad", "right"),
      () => editor.document.getText(),
    );
  });
});

test("the server hears whether the workspace is trusted", async () => {
  const options: unknown = clientOf(await readySession()).clientOptions.initializationOptions;
  assert.ok(typeof options === "function");
  assert.equal((options as () => { trusted: boolean })().trusted, vscode.workspace.isTrusted);
});
