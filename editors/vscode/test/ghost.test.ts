// Ghost text as the editor's commands know it: asked for, taken, paused.

import assert from "node:assert/strict";
import * as vscode from "vscode";
import { test, until } from "./runner.ts";
import { calls, forgetCalls, openScript, readySession, type, untilLastLine } from "./session.ts";

const TRIGGER = "editor.action.inlineSuggest.trigger";
const COMMIT = "editor.action.inlineSuggest.commit";

test("what is asked for by hand can be taken", async () => {
  await readySession();
  const editor = await openScript("total(first)", "x = ");
  await vscode.commands.executeCommand(TRIGGER);
  await untilLastLine(editor, "x = total(first)", COMMIT);
});

test("what comes by itself can be taken", async () => {
  await readySession();
  const editor = await openScript("total(first)");
  await type("y = ");
  await untilLastLine(editor, "y = total(first)", COMMIT);
});

test("a text of several lines is taken whole", async () => {
  await readySession();
  const editor = await openScript("(a):\n    return a");
  await type("def same");
  await untilLastLine(editor, "    return a", COMMIT);
  assert.equal(editor.document.lineAt(1).text, "def same(a):");
});

test("a word of it can be taken", async () => {
  await readySession();
  const editor = await openScript("total(first)");
  await type("z = ");
  await untilLastLine(editor, "z = total", "midfill.acceptWord");
  await untilLastLine(editor, "z = total(first)", COMMIT);
});

test("a line of it can be taken", async () => {
  await readySession();
  const editor = await openScript("total(first)\nprint(w)");
  await type("w = ");
  await until(
    async () => {
      if (editor.document.lineAt(1).text === "w = ") {
        await vscode.commands.executeCommand("midfill.acceptLine");
      }
      return editor.document.lineAt(1).text === "w = total(first)";
    },
    () => editor.document.getText(),
  );
  assert.ok(!editor.document.getText().includes("\nprint"));
});

test("paused everywhere, nothing is asked", () => asksOnlyByHand("midfill.pause"));
test("paused for an hour, nothing is asked", () => asksOnlyByHand("midfill.pauseHour"));
test("paused for the language, nothing is asked", () => asksOnlyByHand("midfill.pauseLanguage"));
test("paused for the file, nothing is asked", () => asksOnlyByHand("midfill.pauseFile"));

async function asksOnlyByHand(pause: string): Promise<void> {
  await readySession();
  const editor = await openScript("total(first)");
  forgetCalls();
  await vscode.commands.executeCommand(pause);
  try {
    await type("v = ");
    await vscode.commands.executeCommand("midfill.trigger");
    await untilLastLine(editor, "v = total(first)", COMMIT);
    // What was to be asked before the last question is known by its answer.
    assert.deepEqual(
      calls().filter((call) => call.endsWith("v") || call.endsWith("v =")),
      [],
    );
  } finally {
    await vscode.commands.executeCommand("midfill.resume");
  }
  await type(" + ");
  await untilLastLine(editor, "v = total(first) + total(first)", COMMIT);
}

test("in another file than the paused one it goes on", async () => {
  await readySession();
  await openScript("total(first)");
  await vscode.commands.executeCommand("midfill.pauseFile");
  const editor = await openScript("other(one)");
  await type("u = ");
  await untilLastLine(editor, "u = other(one)", COMMIT);
});
