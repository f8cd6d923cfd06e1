// Messages that name a way out.

import * as vscode from "vscode";

/** Say something, and run a command if the user presses the button. */
export async function offerTo(button: string, text: string, command: string): Promise<void> {
  if ((await vscode.window.showInformationMessage(text, button)) === button) {
    await vscode.commands.executeCommand(command);
  }
}
