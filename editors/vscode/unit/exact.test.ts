import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type * as vscode from "vscode";
import { ExactEdits } from "../src/exact.ts";

function documentOf(version: number): { version: number } & vscode.TextDocument {
  return { version } as unknown as { version: number } & vscode.TextDocument;
}

function known(): vscode.CodeAction {
  return { title: "Fix", edit: {} } as unknown as vscode.CodeAction;
}

function unknown(): vscode.CodeAction {
  const action = known();
  delete action.edit;
  return action;
}

describe("edits of code actions", () => {
  const said: string[] = [];
  const exact = new ExactEdits((message) => said.push(message));

  it("are given out when an action is chosen", async () => {
    const action = known();
    const { edit } = action;
    await exact.provide(documentOf(3), () => [action]);
    assert.equal(action.edit, undefined);
    const resolved = await exact.resolve(action, () => assert.fail("nothing has to be asked"));
    assert.equal(resolved?.edit, edit);
  });

  it("are asked for where they are not known", async () => {
    const action = unknown();
    await exact.provide(documentOf(3), () => [action]);
    const resolved = await exact.resolve(action, known);
    assert.ok(resolved?.edit);
  });

  it("are not given out for another text", async () => {
    for (const action of [known(), unknown()]) {
      const document = documentOf(3);
      await exact.provide(document, () => [action]);
      said.length = 0;
      const resolved = await exact.resolve(action, () => {
        document.version = 4;
        return known();
      });
      document.version = 5;
      const late = await exact.resolve(action, known);
      assert.equal(late?.edit, undefined);
      assert.equal(said.length, action === resolved ? 1 : 2);
    }
  });

  it("are no matter of commands", async () => {
    const command: vscode.Command = { title: "Explain", command: "explain" };
    assert.deepEqual(await exact.provide(documentOf(1), () => [command]), [command]);
    assert.equal(await exact.provide(documentOf(1), () => null), undefined);
  });
});
