// What the server is told beside questions.

import * as vscode from "vscode";
import type { LanguageClient } from "vscode-languageclient/node";
import { test, until } from "./runner.ts";
import { clientOf, openScript, readySession, set, type, untilLastLine } from "./session.ts";

const FIRST = new vscode.Range(0, 0, 0, 1);

type Send = (what: string | { method: string }, params: object) => Promise<unknown>;

/** Note what a client sends of one method, until `body` is done. */
async function overhear(
  client: LanguageClient,
  by: "sendNotification" | "sendRequest",
  method: string,
  body: (heard: unknown[]) => Promise<void>,
): Promise<void> {
  const sender = client as unknown as Record<typeof by, Send>;
  const send = sender[by];
  const heard: unknown[] = [];
  sender[by] = (what, ...params) => {
    if (method === (typeof what === "string" ? what : what.method)) {
      heard.push(params[0]);
    }
    return send.call(client, what, ...params);
  };
  try {
    await body(heard);
  } finally {
    sender[by] = send;
  }
}

test("what other extensions find wrong is told", async () => {
  const client = clientOf(await readySession());
  const found = vscode.languages.createDiagnosticCollection("another");
  await overhear(client, "sendNotification", "midfill/didChangeDiagnostics", async (heard) => {
    const { document } = await openScript("");
    const told = heard as { uri: string; diagnostics: { message: string }[] }[];
    const last = (): string[] | undefined =>
      told.findLast(({ uri }) => uri === document.uri.toString())?.diagnostics.map(({ message }) => message);
    const shown = (): string => JSON.stringify(told);
    found.set(document.uri, [new vscode.Diagnostic(FIRST, "undefined name")]);
    await until(() => last()?.[0] === "undefined name", shown);
    found.clear();
    await until(() => last()?.length === 0, shown);
  }).finally(() => {
    found.dispose();
  });
});

test("a line that is accepted before the rest is written is told", async () => {
  const client = clientOf(await readySession());
  await overhear(client, "sendRequest", "workspace/executeCommand", async (heard) => {
    // The engine stops after the first line, for good.
    const editor = await openScript("(a):\n    return a", "# #gate\n");
    await type("def line");
    await untilLastLine(editor, "def line(a):", "editor.action.inlineSuggest.commit");
    await until(
      () => JSON.stringify(heard).includes("midfill.didAccept"),
      () => JSON.stringify(heard),
    );
  });
});

test("messages are written to an output of their own", async () => {
  const session = await readySession();
  await set("trace.server", "verbose");
  try {
    const position = { line: 0, character: 0 };
    session.notify("midfill/didMoveCursor", { textDocument: { uri: "file:///traced" }, position });
    let show: string | undefined;
    const find = async (): Promise<boolean> => {
      const commands = await vscode.commands.getCommands(true);
      show = commands.find((name) => /action\.output\.show\..*midfill Messages/.test(name));
      return show !== undefined;
    };
    await until(find, () => "the output");
    await vscode.commands.executeCommand(show ?? "");
    const output = (): string | undefined =>
      vscode.workspace.textDocuments
        .find(({ uri }) => uri.scheme === "output" && uri.path.includes("midfill Messages"))
        ?.getText();
    await until(
      () => output()?.includes("file:///traced") === true,
      () => output() ?? vscode.workspace.textDocuments.map(({ uri }) => uri.toString()).join("\n"),
    );
  } finally {
    await set("trace.server", undefined);
    await vscode.commands.executeCommand("workbench.action.closePanel");
  }
});
