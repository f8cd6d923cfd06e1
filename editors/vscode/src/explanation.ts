// Explanations, shown beside the code: a read-only document that the editor's own preview of
// Markdown renders. The preview runs no scripts, and the server lets no HTML and no images through.

import * as vscode from "vscode";

const SCHEME = "midfill-explanation";
const DOCUMENT = vscode.Uri.from({ scheme: SCHEME, path: "/Explanation.md" });
const PREVIEW = "vscode.markdown.preview.editor";

/** The one document for explanations. The latest one is shown, and it may still be growing. */
export class ExplanationView implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private text = "";
  private readonly changeEmitter = new vscode.EventEmitter<vscode.Uri>();
  private readonly closeEmitter = new vscode.EventEmitter<undefined>();
  private readonly registrations: vscode.Disposable;

  readonly onDidChange = this.changeEmitter.event;
  /** Fires when somebody has closed it. */
  readonly onClose = this.closeEmitter.event;

  constructor() {
    this.registrations = vscode.Disposable.from(
      vscode.workspace.registerTextDocumentContentProvider(SCHEME, this),
      vscode.window.tabGroups.onDidChangeTabs(({ closed }) => {
        if (closed.some(isExplanation)) {
          this.closeEmitter.fire(undefined);
        }
      }),
    );
  }

  provideTextDocumentContent(): string {
    return this.text;
  }

  /** Begin another explanation: bring the document to the eye; the focus stays where it is. */
  async open(text: string): Promise<void> {
    this.change(text);
    // One that has been put somewhere else is shown there.
    const tab = vscode.window.tabGroups.all.flatMap(({ tabs }) => tabs).find(isExplanation);
    const viewColumn = tab?.group.viewColumn ?? vscode.ViewColumn.Beside;
    const how: vscode.TextDocumentShowOptions = { viewColumn, preserveFocus: true, preview: false };
    try {
      await vscode.commands.executeCommand("vscode.openWith", DOCUMENT, PREVIEW, how);
    } catch {
      // The preview is an extension, and can be switched off.
      await vscode.window.showTextDocument(DOCUMENT, how);
    }
  }

  /** Show more of the same explanation. */
  change(text: string): void {
    this.text = text;
    this.changeEmitter.fire(DOCUMENT);
  }

  dispose(): void {
    this.registrations.dispose();
    this.changeEmitter.dispose();
    this.closeEmitter.dispose();
  }
}

function isExplanation({ input }: vscode.Tab): boolean {
  const known = input instanceof vscode.TabInputCustom || input instanceof vscode.TabInputText;
  return known && input.uri.scheme === SCHEME;
}
