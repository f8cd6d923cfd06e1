// The extension and its server: started, stopped, configured, and what happens without one.

import assert from "node:assert/strict";
import * as vscode from "vscode";
import { test, until } from "./runner.ts";
import {
  calls,
  clientOf,
  extension,
  forgetCalls,
  openScript,
  reach,
  readySession,
  serverPid,
  set,
} from "./session.ts";

const METHOD = "textDocument/inlineCompletion";

test("it is activated, and its server gets ready", async () => {
  const session = await readySession();
  assert.equal(extension().isActive, true);
  assert.equal(clientOf(session).initializeResult?.serverInfo?.name, "midfill");
});

test("every command that it declares is there", async () => {
  const manifest = extension().packageJSON as {
    contributes: { commands: { command: string }[] };
  };
  const declared = manifest.contributes.commands.map(({ command }) => command);
  const there = new Set(await vscode.commands.getCommands(true));
  assert.ok(declared.length > 10);
  assert.deepEqual(
    declared.filter((command) => !there.has(command)),
    [],
  );
});

test("a restart brings another server", async () => {
  const session = await readySession();
  const before = serverPid();
  await vscode.commands.executeCommand("midfill.restart");
  await reach(session, "ready");
  assert.notEqual(serverPid(), before);
});

test("a server that was killed comes back by itself", async () => {
  const session = await readySession();
  const before = serverPid();
  process.kill(before, "SIGKILL");
  await until(
    () => serverPid() !== before && session.status.state === "ready",
    () => JSON.stringify(session.status),
  );
});

test("without a server the state says so, and a right path is enough to come back", async () => {
  const session = await readySession();
  const before = serverPid();
  const path = vscode.workspace.getConfiguration("midfill.server").get<string>("path");
  await set("server.path", "/nowhere/midfill");
  await reach(session, "absent");
  assert.equal(session.client, undefined);
  assert.equal(session.serverCommand(), undefined);
  await set("server.path", path);
  await reach(session, "ready");
  assert.notEqual(serverPid(), before);
});

test("a program that is no server is not taken for one", async () => {
  const session = await readySession();
  const args = vscode.workspace.getConfiguration("midfill.server").get<string[]>("args");
  const command = session.serverCommand();
  await set("server.args", ["-c", "print('something else')"]);
  await reach(session, "absent");
  await set("server.args", args);
  await reach(session, "ready");
  assert.deepEqual(session.serverCommand(), command);
});

test("settings reach the server while it runs", async () => {
  const session = await readySession();
  const editor = await openScript("total(first)", "x = ");
  const ask = async (): Promise<number> => {
    const params = clientOf(session).code2ProtocolConverter.asInlineCompletionParams(
      editor.document,
      editor.selection.active,
      { triggerKind: vscode.InlineCompletionTriggerKind.Automatic, selectedCompletionInfo: undefined },
    );
    // By name: the type of the request is another object in the bundle of the extension.
    const answer: unknown = await clientOf(session).sendRequest(METHOD, params);
    return (answer as { items: unknown[] }).items.length;
  };
  const pid = serverPid();
  await until(async () => (await ask()) === 1, () => "a suggestion");
  await set("completion.disabledLanguages", ["python"]);
  await until(async () => (await ask()) === 0, () => "no suggestion in Python");
  await set("completion.disabledLanguages", undefined);
  await until(async () => (await ask()) === 1, () => "a suggestion again");
  assert.equal(serverPid(), pid);
  forgetCalls();
  assert.deepEqual(calls(), []);
});
