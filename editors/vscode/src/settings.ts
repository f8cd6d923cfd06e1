// Changing the user's settings from the menu.

import * as vscode from "vscode";

/** Set one of midfill's settings where it is set already, else for the user. */
export async function setSetting(name: string, value: string): Promise<void> {
  const section = vscode.workspace.getConfiguration("midfill");
  const { Global, Workspace } = vscode.ConfigurationTarget;
  const inWorkspace = section.inspect(name)?.workspaceValue !== undefined;
  await section.update(name, value, inWorkspace ? Workspace : Global);
}
