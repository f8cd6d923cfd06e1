// Pauses as the editor knows them: for its documents, with an event, and hidden at once.

import * as vscode from "vscode";
import { type Place, type Scope, type Pause, Pauses } from "./pause.ts";

/** Pauses for the editor's documents. */
export class PauseControl implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<undefined>();
  /** Fires when a pause begins or ends. */
  readonly onChange = this.changed.event;
  private readonly pauses: Pauses;

  constructor(store: vscode.Memento) {
    this.pauses = new Pauses(store, () => {
      this.changed.fire(undefined);
      this.hideIfPaused();
    });
  }

  /** Return what keeps a document without suggestions, if anything does. */
  of(document: vscode.TextDocument | undefined): Pause | undefined {
    return this.pauses.of(document && placeOf(document));
  }

  /** Return what pauses the active document. */
  active(): Pause | undefined {
    return this.of(vscode.window.activeTextEditor?.document);
  }

  /** Pause; a language or a file is that of the active document. */
  async begin(scope: Scope): Promise<void> {
    await this.pauses.begin(scope, this.place());
  }

  /** Resume where the active document is, whatever has paused it. */
  async resume(): Promise<void> {
    await this.pauses.resume(this.place());
  }

  dispose(): void {
    this.pauses.dispose();
    this.changed.dispose();
  }

  private place(): Place | undefined {
    const document = vscode.window.activeTextEditor?.document;
    return document && placeOf(document);
  }

  private hideIfPaused(): void {
    if (this.active() !== undefined) {
      void vscode.commands.executeCommand("editor.action.inlineSuggest.hide");
    }
  }
}

function placeOf(document: vscode.TextDocument): Place {
  return { languageId: document.languageId, uri: document.uri.toString() };
}
