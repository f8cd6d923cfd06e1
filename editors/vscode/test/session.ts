// The extension as it runs beside the tests, and the scripted server behind it.

import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync } from "node:fs";
import * as path from "node:path";
import * as vscode from "vscode";
import type { LanguageClient } from "vscode-languageclient/node";
import type { MidfillStatus, Session } from "../src/types.ts";
import { until } from "./runner.ts";

/** Return the extension; it may not be active yet. */
export function extension(): vscode.Extension<Session> {
  const found = vscode.extensions.getExtension<Session>("midfill.midfill");
  assert.ok(found, "the extension is not installed");
  return found;
}

/** Return the session, once its server is ready. */
export async function readySession(): Promise<Session> {
  const session = await extension().activate();
  await reach(session, "ready");
  return session;
}

/** Wait until it stands so with the model. */
export async function reach(session: Session, state: MidfillStatus["state"]): Promise<void> {
  await until(
    () => session.status.state === state,
    () => `state ${state}; it is ${JSON.stringify(session.status)}`,
  );
}

/** Return the client of the session, which has one while a server runs. */
export function clientOf(session: Session): LanguageClient {
  assert.ok(session.client, "there is no client");
  return session.client;
}

/** Return the process of the scripted server. */
export function serverPid(): number {
  return Number(readFileSync(inServerFolder("pid"), "utf8"));
}

/** Return the text before the cursor of each call of the engine so far. */
export function calls(): string[] {
  const file = inServerFolder("calls");
  const lines = existsSync(file) ? readFileSync(file, "utf8").trim().split("\n") : [];
  return lines.map((line) => JSON.parse(line) as string);
}

/** Forget the calls so far. */
export function forgetCalls(): void {
  rmSync(inServerFolder("calls"), { force: true });
}

/** Give a setting a value for the whole folder; undefined takes it away. */
export async function set(name: string, value: unknown): Promise<void> {
  const section = vscode.workspace.getConfiguration("midfill");
  await section.update(name, value, vscode.ConfigurationTarget.Workspace);
}

/** Open an unsaved Python file with the cursor at its end. The engine answers with `answer`. */
export async function openScript(answer: string, rest = ""): Promise<vscode.TextEditor> {
  const content = `# #text ${JSON.stringify(answer)}\n${rest}`;
  const document = await vscode.workspace.openTextDocument({ language: "python", content });
  const editor = await vscode.window.showTextDocument(document);
  const end = document.positionAt(content.length);
  editor.selection = new vscode.Selection(end, end);
  return editor;
}

/** Run a command, again and again, until the editor's last line is `line`. */
export async function untilLastLine(
  editor: vscode.TextEditor,
  line: string,
  command: string,
): Promise<void> {
  const last = (): string => editor.document.lineAt(editor.document.lineCount - 1).text;
  await until(
    async () => {
      if (last() !== line) {
        await vscode.commands.executeCommand(command);
      }
      return last() === line;
    },
    () => `last line ${line}; it is ${last()}`,
  );
}

/** Type as a person does. */
export async function type(text: string): Promise<void> {
  for (const character of text) {
    await vscode.commands.executeCommand("type", { text: character });
  }
}

function inServerFolder(name: string): string {
  const folder = process.env["MIDFILL_TEST_SERVER"];
  assert.ok(folder, "MIDFILL_TEST_SERVER names no folder");
  return path.join(folder, name);
}
