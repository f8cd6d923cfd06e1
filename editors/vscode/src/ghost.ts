// Ghost text: whether the server is asked, what of its answer is shown when, what it is told after.

import * as vscode from "vscode";
import {
  CancellationTokenSource,
  InlineCompletionRequest,
} from "vscode-languageclient/node";
import type {
  Command,
  InlineCompletionItem,
  InlineCompletionList,
  InlineCompletionParams,
  LanguageClient,
  Middleware,
  Position,
} from "vscode-languageclient/node";
import { Offers } from "./acceptance.ts";
import { goesOn, wholeOrLine } from "./growth.ts";
import type { PauseControl } from "./pausing.ts";
import type { Session } from "./types.ts";

const PROGRESS_METHOD = "midfill/inlineCompletionProgress";
const DID_SHOW_METHOD = "textDocument/didShowCompletion";

const TRIGGER_COMMAND = "editor.action.inlineSuggest.trigger";
const HIDE_COMMAND = "editor.action.inlineSuggest.hide";
const { Invoke } = vscode.InlineCompletionTriggerKind;

// Of what was shown so many names are kept, to tell of each only once.
const KEPT_IDS = 200;

/** The first line of an answer that is still being written. */
interface Progress {
  readonly token: string;
  readonly position: Position;
  readonly text: string;
  readonly command: Command;
}

type Provide = NonNullable<Middleware["provideInlineCompletionItems"]>;
type Answer = InlineCompletionItem[] | InlineCompletionList | null;

/** One request of the editor's. */
interface Question {
  readonly token: string;
  readonly client: LanguageClient;
  readonly document: vscode.TextDocument;
  readonly version: number;
  readonly position: vscode.Position;
  readonly source: CancellationTokenSource;
}

/** A whole answer of which a line is on the screen, kept until the editor asks for it. */
interface Grown {
  readonly question: Question;
  readonly items: InlineCompletionItem[];
}

/** What `ask` has the editor ask. */
interface Asking {
  readonly document: vscode.TextDocument;
  readonly position: vscode.Position;
  readonly triggerKind: vscode.InlineCompletionTriggerKind;
}

/** The provider of ghost text. It answers for every client of the session. */
export class GhostText implements vscode.Disposable {
  /** What was given to the editor lately. */
  readonly offers = new Offers<InlineCompletionItem>();
  private readonly acceptedEmitter = new vscode.EventEmitter<undefined>();
  /** Fires when a suggestion was accepted to its end. */
  readonly onAccepted = this.acceptedEmitter.event;
  private readonly session: Session;
  private readonly pausing: PauseControl;
  private readonly lines = new Map<string, (line: InlineCompletionItem) => void>();
  private readonly shownIds = new Set<string>();
  private readonly subscriptions: vscode.Disposable;
  // The answer that goes on being written after its first line was shown. The editor has no token
  // for it any more, so what ends it is watched here.
  private growing: Question | undefined;
  private grown: Grown | undefined;
  private asking: Asking | undefined;
  // The last question, unless nothing came of it.
  private latest: Question | undefined;
  private asked = 0;

  constructor(session: Session, pausing: PauseControl) {
    this.session = session;
    this.pausing = pausing;
    this.subscriptions = vscode.Disposable.from(
      session.onClient((client) => {
        this.listen(client);
      }),
      vscode.workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
        if (contentChanges.length > 0 && document === this.growing?.document) {
          this.stopGrowing();
        }
      }),
      vscode.window.onDidChangeTextEditorSelection(() => {
        this.stopGrowingElsewhere();
      }),
      vscode.window.onDidChangeActiveTextEditor(() => {
        this.stopGrowingElsewhere();
      }),
      pausing.onChange(() => {
        this.stopGrowing();
      }),
    );
  }

  /** Answer the editor; this is vscode-languageclient's middleware. */
  readonly provide: Provide = async (document, position, context, token) => {
    const grown = this.takeGrown(document, position);
    if (grown !== undefined) {
      return grown;
    }
    this.stopGrowing();
    const { client } = this.session;
    const asking = this.takeAsking(document, position);
    const triggerKind = asking?.triggerKind ?? context.triggerKind;
    const isExplicit = triggerKind === Invoke;
    if (client === undefined || (!isExplicit && this.pausing.of(document) !== undefined)) {
      return null;
    }
    // The editor asks explicitly for the next suggestion, too, and that must not be cut short.
    const mayGrow = (!isExplicit || asking !== undefined) && wantsGrowth(context);
    const question = this.question(client, document, position, token);
    this.latest = question;
    try {
      return await this.answer(question, { ...context, triggerKind }, mayGrow, token);
    } catch (error) {
      this.forget(question);
      return unanswered(client, error, token);
    } finally {
      this.lines.delete(question.token);
    }
  };

  /** Have the editor ask where the cursor is: by hand, or as if something had been typed there. */
  async ask(triggerKind: vscode.InlineCompletionTriggerKind): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    if (editor !== undefined) {
      const { document, selection } = editor;
      this.asking = { document, position: selection.active, triggerKind };
      await vscode.commands.executeCommand(TRIGGER_COMMAND);
    }
  }

  /** Say whether there is a suggestion for a document as it is, or an answer to come. */
  isServing(document: vscode.TextDocument): boolean {
    return this.latest?.document === document && this.latest.version === document.version;
  }

  /** To be called when the editor says that a suggestion was accepted. */
  accepted(): void {
    this.acceptedEmitter.fire(undefined);
  }

  /** Give up the rest of what is being written; the line that is on the screen stays. */
  stopGrowing(): void {
    this.growing?.source.cancel();
    this.setGrowing(undefined);
    this.grown = undefined;
  }

  dispose(): void {
    this.stopGrowing();
    this.acceptedEmitter.dispose();
    this.subscriptions.dispose();
  }

  private listen(client: LanguageClient): void {
    client.onNotification(PROGRESS_METHOD, ({ token, position, text, command }: Progress) => {
      // Without a range the editor would take it for the whole word.
      const range = { start: position, end: position };
      this.lines.get(token)?.({ insertText: text, range, command });
    });
  }

  private question(
    client: LanguageClient,
    document: vscode.TextDocument,
    position: vscode.Position,
    token: vscode.CancellationToken,
  ): Question {
    const source = new CancellationTokenSource();
    token.onCancellationRequested(() => {
      source.cancel();
    });
    this.asked += 1;
    const name = `midfill-ghost-${this.asked}`;
    return { token: name, client, document, version: document.version, position, source };
  }

  private async answer(
    question: Question,
    context: vscode.InlineCompletionContext,
    mayGrow: boolean,
    token: vscode.CancellationToken,
  ): Promise<vscode.InlineCompletionItem[] | null> {
    const { client, document, position, source } = question;
    const params: InlineCompletionParams = {
      ...client.code2ProtocolConverter.asInlineCompletionParams(document, position, context),
      // The server names the growing text by it.
      workDoneToken: question.token,
    };
    const answer = client.sendRequest(InlineCompletionRequest.type, params, source.token);
    const outcome = mayGrow
      ? await wholeOrLine(answer, this.line(question))
      : { kind: "whole" as const, answer: await answer };
    if (token.isCancellationRequested) {
      return null;
    }
    if (outcome.kind === "whole") {
      return this.handOver(question, itemsOf(outcome.answer));
    }
    this.setGrowing(question);
    // The rest is waited for beside; that it fails or is given up takes nothing from the screen.
    answer.then(
      (whole) => {
        this.exchange(question, textOf(outcome.line), itemsOf(whole));
      },
      () => {
        this.exchange(question, textOf(outcome.line), []);
      },
    );
    return this.handOver(question, [outcome.line]);
  }

  private line(question: Question): Promise<InlineCompletionItem> {
    return new Promise((resolve) => {
      this.lines.set(question.token, resolve);
    });
  }

  // Takes the whole text in the place of its first line. The editor does not ask again by itself,
  // and it keeps what it shows when it is asked to; so that is hidden first.
  private exchange(question: Question, line: string, items: InlineCompletionItem[]): void {
    if (this.growing !== question) {
      return;
    }
    this.setGrowing(undefined);
    const [first] = items;
    if (first === undefined || !isAt(question)) {
      return;
    }
    this.tellShown(first);
    if (!goesOn(line, textOf(first)) && items.length === 1) {
      return;
    }
    this.grown = { question, items };
    void vscode.commands.executeCommand(HIDE_COMMAND);
    void vscode.commands.executeCommand(TRIGGER_COMMAND);
  }

  // The editor calls what it was triggered to ask for an explicit question. This one is answered
  // from here, so the server does not take it for one.
  private takeGrown(
    document: vscode.TextDocument,
    position: vscode.Position,
  ): vscode.InlineCompletionItem[] | undefined {
    const { grown } = this;
    this.grown = undefined;
    if (grown === undefined) {
      return undefined;
    }
    const { question, items } = grown;
    const same = question.document === document && question.version === document.version;
    return same && question.position.isEqual(position) ? this.handOver(question, items) : undefined;
  }

  private takeAsking(
    document: vscode.TextDocument,
    position: vscode.Position,
  ): Asking | undefined {
    const { asking } = this;
    this.asking = undefined;
    const isIt = asking?.document === document && asking.position.isEqual(position);
    return isIt ? asking : undefined;
  }

  private handOver(
    question: Question,
    items: InlineCompletionItem[],
  ): vscode.InlineCompletionItem[] {
    const { client, document, position } = question;
    const converter = client.protocol2CodeConverter;
    const [first] = items;
    if (first === undefined) {
      this.forget(question);
    } else {
      this.tellShown(first);
    }
    const converted = items.map((item) => converter.asInlineCompletionItem(item));
    this.offers.remember(
      items.map((item, index) => ({
        uri: document.uri.toString(),
        start: document.offsetAt(startOf(converted[index]?.range) ?? position),
        text: textOf(item),
        item,
      })),
    );
    return converted;
  }

  // The editor tells extensions that a text is on the screen by a proposed interface only. So it is
  // told of what was handed over while it was still wanted, and of the first of several.
  private tellShown(item: InlineCompletionItem): void {
    const id: unknown = item.command?.arguments?.[0];
    if (typeof id !== "string" || this.shownIds.has(id)) {
      return;
    }
    this.shownIds.add(id);
    const [oldest] = this.shownIds;
    if (oldest !== undefined && this.shownIds.size > KEPT_IDS) {
      this.shownIds.delete(oldest);
    }
    this.session.notify(DID_SHOW_METHOD, { item });
  }

  private forget(question: Question): void {
    if (this.latest === question) {
      this.latest = undefined;
    }
  }

  private stopGrowingElsewhere(): void {
    if (this.growing !== undefined && !isAt(this.growing)) {
      this.stopGrowing();
    }
  }

  private setGrowing(question: Question | undefined): void {
    if ((this.growing === undefined) !== (question === undefined)) {
      // While it is set, Escape also means that the rest is not wanted.
      void vscode.commands.executeCommand("setContext", "midfill.growing", question !== undefined);
    }
    this.growing = question;
  }
}

function wantsGrowth(context: vscode.InlineCompletionContext): boolean {
  return (
    // Beside a list of completions the text would come and go with it.
    context.selectedCompletionInfo === undefined &&
    vscode.workspace.getConfiguration("midfill.editor").get("growingText", true)
  );
}

// Whether the cursor is still where the question was asked, in a document that has not changed.
function isAt({ document, version, position }: Question): boolean {
  const editor = vscode.window.activeTextEditor;
  return (
    editor?.document === document &&
    document.version === version &&
    editor.selection.isEmpty &&
    editor.selection.active.isEqual(position)
  );
}

function unanswered(client: LanguageClient, error: unknown, token: vscode.CancellationToken): null {
  try {
    // It knows which errors are none, and writes the others to the log; nothing pops up.
    return client.handleFailedRequest(InlineCompletionRequest.type, token, error, null, false);
  } catch {
    return null;
  }
}

function itemsOf(answer: Answer): InlineCompletionItem[] {
  if (answer === null) {
    return [];
  }
  return Array.isArray(answer) ? answer : answer.items;
}

function textOf(item: InlineCompletionItem): string {
  return typeof item.insertText === "string" ? item.insertText : item.insertText.value;
}

function startOf(range: vscode.Range | undefined): vscode.Position | undefined {
  return range?.start;
}
