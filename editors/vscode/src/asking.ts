// What a user asks the model for by a command, or by an action of the light bulb: to explain, to
// write what a comment says, to fix all of a kind. The server does it; here is what it is about,
// and how somebody who waits for it can stop it.

import * as vscode from "vscode";
import { type LanguageClient, LSPErrorCodes, type Middleware, ResponseError, WorkDoneProgress } from "vscode-languageclient/node";
import { isServed } from "./cursor.ts";
import { ExactEdits } from "./exact.ts";
import { ExplanationView } from "./explanation.ts";
import type { Session } from "./types.ts";
import { cancellable, type Tell } from "./working.ts";

// The server's commands. The library registers them under these names; the palette's are others.
const EXPLAIN = "midfill.explain";
const EXPLAIN_DIAGNOSTIC = "midfill.explainDiagnostic";
const GENERATE = "midfill.generate";
const FIX_ALL = "midfill.fixAll";
const TITLES: Readonly<Record<string, string>> = {
  [EXPLAIN]: "midfill: explaining",
  [EXPLAIN_DIAGNOSTIC]: "midfill: explaining",
  [GENERATE]: "midfill: writing code",
  [FIX_ALL]: "midfill: fixing",
};

const EXPLANATION_METHOD = "midfill/explanation";
const TOKEN_PREFIX = "midfill-asked-";

type Argument = Readonly<Record<string, unknown>>;

interface Written {
  readonly token: string;
  readonly text: string;
}

interface Explanation {
  readonly markdown: string;
  readonly model: string | null;
}

/** Runs the commands that somebody waits for, and shows what comes of them. */
export class Asking implements vscode.Disposable {
  private readonly session: Session;
  private readonly view = new ExplanationView();
  private readonly exact = new ExactEdits(say);
  private readonly registrations: vscode.Disposable;
  private count = 0;
  /** Ends the explanation that is being written. */
  private explaining: vscode.CancellationTokenSource | undefined;
  /** Is given what is written for the token of the latest explanation. */
  private grow: (written: Written) => void = () => undefined;

  constructor(session: Session) {
    this.session = session;
    const register = (name: string, here: (editor: vscode.TextEditor) => Promise<void>): vscode.Disposable =>
      vscode.commands.registerCommand(name, async () => {
        const editor = vscode.window.activeTextEditor;
        await (editor && here(editor));
      });
    this.registrations = vscode.Disposable.from(
      this.view,
      this.view.onClose(() => this.explaining?.cancel()),
      session.onClient((client) => {
        client.onNotification(EXPLANATION_METHOD, (written: Written) => {
          this.grow(written);
        });
      }),
      register("midfill.explainHere", (editor) => this.explainHere(editor)),
      register("midfill.generateHere", (editor) => this.generateHere(editor)),
      register("midfill.fixAllHere", (editor) => this.fixAllHere(editor)),
    );
  }

  /** What each client does besides running commands. */
  readonly middleware: Middleware = {
    provideCodeActions: (document, range, context, token, next) =>
      this.exact.provide(document, () => next(document, range, context, token)),
    resolveCodeAction: (item, token, next) =>
      this.exact.resolve(item, () =>
        cancellable("midfill: looking for a fix", token, async (either) => await next(item, either)),
      ),
    handleWorkDoneProgress: (token, params, next) => {
      // Other progress is in the status bar, where the extension's own item says it.
      if (String(token).startsWith(TOKEN_PREFIX)) {
        next(token, params);
      }
    },
  };

  /** Run one of the server's commands: an action of the light bulb may be one. */
  executeCommand(command: string, args: unknown[], next: (command: string, args: unknown[]) => unknown): unknown {
    return command in TITLES ? this.run(command, args[0] as Argument) : next(command, args);
  }

  dispose(): void {
    this.explaining?.cancel();
    this.registrations.dispose();
  }

  private async explainHere(editor: vscode.TextEditor): Promise<void> {
    const { selection } = editor;
    await this.about(editor, EXPLAIN, ({ code2ProtocolConverter: convert }) =>
      selection.isEmpty
        ? { position: convert.asPosition(selection.active) }
        : { range: convert.asRange(selection) },
    );
  }

  private async generateHere(editor: vscode.TextEditor): Promise<void> {
    await this.about(editor, GENERATE, ({ code2ProtocolConverter: convert }) => ({
      position: convert.asPosition(editor.selection.active),
    }));
  }

  private async fixAllHere(editor: vscode.TextEditor): Promise<void> {
    const diagnostic = await chooseKind(editor);
    if (diagnostic !== undefined) {
      await this.about(editor, FIX_ALL, ({ code2ProtocolConverter: convert }) => ({
        diagnostic: convert.asDiagnostic(diagnostic),
      }));
    }
  }

  /** Run a command of the server's on the document of an editor. */
  private async about(
    { document }: vscode.TextEditor,
    command: string,
    place: (client: LanguageClient) => Argument,
  ): Promise<void> {
    const { client } = this.session;
    if (client?.isRunning() !== true) {
      say("The server is not running.");
    } else if (!isServed(this.session, document)) {
      say("This document is not read.");
    } else {
      const uri = client.code2ProtocolConverter.asUri(document.uri);
      await this.run(command, { uri, ...place(client) });
    }
  }

  private async run(command: string, argument: Argument): Promise<unknown> {
    try {
      if (command !== EXPLAIN && command !== EXPLAIN_DIAGNOSTIC) {
        return await this.ask(command, argument, undefined);
      }
      await this.explain(command, argument);
    } catch (error) {
      if (!isCancel(error)) {
        const message = error instanceof Error ? error.message : String(error);
        void vscode.window.showWarningMessage(`midfill: ${message}`);
      }
    }
    return undefined;
  }

  /** Show an explanation while it is written. The one before it is of no interest any more. */
  private async explain(command: string, argument: Argument): Promise<void> {
    this.explaining?.cancel();
    const source = new vscode.CancellationTokenSource();
    this.explaining = source;
    this.count += 1;
    const token = `${TOKEN_PREFIX}${this.count}`;
    let opened: Promise<void> | undefined;
    const show = (text: string): void => {
      if (opened === undefined) {
        opened = this.view.open(text);
      } else {
        this.view.change(text);
      }
    };
    this.grow = (written) => {
      if (written.token === token && written.text !== "") {
        show(written.text);
      }
    };
    try {
      const answer = (await this.ask(command, { ...argument, token }, source.token)) as Explanation;
      if (!source.token.isCancellationRequested) {
        show(`${answer.markdown}\n\n---\n\n*${by(answer.model)}*\n`);
        await opened;
      }
    } finally {
      if (this.explaining === source) {
        this.explaining = undefined;
      }
      source.dispose();
    }
  }

  private async ask(
    command: string,
    argument: Argument,
    token: vscode.CancellationToken | undefined,
  ): Promise<unknown> {
    const { client } = this.session;
    if (client === undefined) {
      throw new Error("The server is not running.");
    }
    this.count += 1;
    const workDoneToken = `${TOKEN_PREFIX}${this.count}`;
    return await cancellable(TITLES[command] ?? "midfill", token, async (either, tell) => {
      const listening = client.onProgress(WorkDoneProgress.type, workDoneToken, reporter(tell));
      const params = { command, arguments: [argument], workDoneToken };
      try {
        return await client.sendRequest<unknown>("workspace/executeCommand", params, either);
      } finally {
        listening.dispose();
      }
    });
  }
}

/** Return what passes on how far it is. */
function reporter(tell: Tell): (value: { kind: string; message?: string; percentage?: number }) => void {
  let done = 0;
  return ({ kind, message, percentage }) => {
    if (kind === "report" && message !== undefined) {
      tell(message, percentage === undefined ? undefined : percentage - done);
      done = percentage ?? done;
    }
  };
}

/** Return one diagnostic of the kind that all are to be fixed of; of those at the cursor, if any. */
async function chooseKind({ document, selection }: vscode.TextEditor): Promise<vscode.Diagnostic | undefined> {
  const all = vscode.languages.getDiagnostics(document.uri).filter(({ source }) => source !== "midfill");
  const here = all.filter(({ range }) => range.intersection(selection) !== undefined);
  const kinds = new Map<string, vscode.Diagnostic[]>();
  for (const each of here.length > 0 ? here : all) {
    const kind = `${each.source ?? ""} ${codeOf(each)}`;
    kinds.set(kind, [...(kinds.get(kind) ?? []), each]);
  }
  if (kinds.size === 0) {
    say("No problem is known in this file.");
  }
  if (kinds.size < 2) {
    return [...kinds.values()][0]?.[0];
  }
  const items = [...kinds].map(([kind, [first]]) => ({ label: kind.trim(), detail: first?.message ?? "", first }));
  const chosen = await vscode.window.showQuickPick(items, { title: "Fix All of Which Kind?" });
  return chosen?.first;
}

function codeOf({ code }: vscode.Diagnostic): string {
  return String(typeof code === "object" ? code.value : (code ?? ""));
}

function by(model: string | null): string {
  return `Written by ${model ?? "a model"} on this machine; it may be wrong.`;
}

function say(message: string): void {
  void vscode.window.showInformationMessage(`midfill: ${message}`);
}

function isCancel(error: unknown): boolean {
  return error instanceof ResponseError && error.code === LSPErrorCodes.RequestCancelled;
}
