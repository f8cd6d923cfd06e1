// The item in the status bar.

import * as vscode from "vscode";
import { appearance } from "./appearance.ts";
import type { PauseControl } from "./pausing.ts";
import type { MidfillStatus, Session } from "./types.ts";

/** The command that a click on the item runs. */
export const MENU_COMMAND = "midfill.menu";

// Most answers are there sooner; an icon that changes with every key only disturbs.
const SPIN_AFTER_MS = 250;

/** Show how it stands with the model, and whether it is paused, until disposed. */
export function showStatus(session: Session, pausing: PauseControl): vscode.Disposable {
  const item = vscode.window.createStatusBarItem("midfill.status", vscode.StatusBarAlignment.Right, 100);
  item.name = "midfill";
  item.command = MENU_COMMAND;
  const render = (status: MidfillStatus): void => {
    const language = vscode.window.activeTextEditor?.document.languageId;
    const shown = appearance(status, pausing.active(), language);
    item.text = shown.text;
    item.tooltip = new vscode.MarkdownString(shown.tooltip);
    item.accessibilityInformation = { label: shown.spoken };
    item.backgroundColor =
      shown.level === "normal"
        ? undefined
        : new vscode.ThemeColor(`statusBarItem.${shown.level}Background`);
  };
  let timer: NodeJS.Timeout | undefined;
  const update = (): void => {
    clearTimeout(timer);
    const { status } = session;
    if (status.state === "ready" && status.working) {
      timer = setTimeout(render, SPIN_AFTER_MS, status);
    } else {
      render(status);
    }
  };
  render(session.status);
  item.show();
  return vscode.Disposable.from(
    item,
    session.onStatus(update),
    pausing.onChange(update),
    vscode.window.onDidChangeActiveTextEditor(update),
    // Another window may have paused or resumed meanwhile.
    vscode.window.onDidChangeWindowState(update),
    { dispose: () => { clearTimeout(timer); } },
  );
}
