// Edits of code actions hold for one version of a document. The protocol says for which, but the
// editor does not look at that: it applies what it was given to whatever the text is by then.

import type * as vscode from "vscode";

interface Offered {
  readonly document: vscode.TextDocument;
  readonly version: number;
  /** What it does, if that was known when it was offered. */
  readonly edit: vscode.WorkspaceEdit | undefined;
}

type Action = vscode.Command | vscode.CodeAction;

/** Gives out the edits of actions only when they are chosen, and never for another text. */
export class ExactEdits {
  private readonly offered = new WeakMap<vscode.CodeAction, Offered>();
  private readonly say: (message: string) => void;

  constructor(say: (message: string) => void) {
    this.say = say;
  }

  /** Take the edits out of the actions that `ask` gets for a document. */
  async provide(
    document: vscode.TextDocument,
    ask: () => vscode.ProviderResult<Action[]>,
  ): Promise<Action[] | undefined> {
    const { version } = document;
    const actions = await ask();
    for (const action of actions ?? []) {
      if (isCodeAction(action)) {
        this.offered.set(action, { document, version, edit: action.edit });
        delete action.edit;
      }
    }
    return actions ?? undefined;
  }

  /** Return an action with its edit, which `ask` gets if it is not known, if the text is the same. */
  async resolve(
    action: vscode.CodeAction,
    ask: () => vscode.ProviderResult<vscode.CodeAction>,
  ): Promise<vscode.CodeAction | undefined> {
    const offered = this.offered.get(action);
    if (offered?.edit !== undefined) {
      action.edit = offered.edit;
    }
    const resolved = action.edit === undefined ? await ask() : action;
    if (resolved?.edit !== undefined && offered !== undefined && offered.document.version !== offered.version) {
      this.say("The document has changed since this fix was offered. Ask for it again.");
      delete resolved.edit;
    }
    return resolved ?? undefined;
  }
}

// A command's own name is a text, an action's command is an object.
function isCodeAction(action: Action): action is vscode.CodeAction {
  return typeof action.command !== "string";
}
