// The section `midfill` of the editor's settings: what the extension reads of it, and what the
// server is told.

import * as vscode from "vscode";

export const SECTION = "midfill";

/** Groups of settings that are the extension's; the server has no use for them. */
const CLIENT_GROUPS = new Set(["server", "trace", "editor"]);

export interface ServerChoice {
  readonly path: string;
  readonly args: readonly string[];
  readonly python: string;
}

/** Return what the user said about which server runs. */
export function serverChoice(): ServerChoice {
  const section = vscode.workspace.getConfiguration("midfill.server");
  return {
    path: section.get<string>("path", ""),
    args: section.get<string[]>("args", []),
    python: section.get<string>("python", ""),
  };
}

/** Say whether a change means that another server is to be started. */
export function choosesOtherServer(change: vscode.ConfigurationChangeEvent): boolean {
  return change.affectsConfiguration("midfill.server.path") || change.affectsConfiguration("midfill.server.args");
}

/**
 * Return the server's settings that somebody has set, nested as the server reads them.
 *
 * Defaults are left out: they would hide what the server's own configuration file says.
 */
export function serverSettings(extension: vscode.Extension<unknown>): Record<string, unknown> {
  const section = vscode.workspace.getConfiguration(SECTION);
  const settings: Record<string, unknown> = {};
  for (const name of settingNames(extension)) {
    const group = name.split(".")[0] ?? "";
    if (!CLIENT_GROUPS.has(group) && isSet(section, name)) {
      put(settings, name.split("."), section.get(name));
    }
  }
  return settings;
}

interface Manifest {
  contributes: { configuration: { properties: Record<string, unknown> }[] };
}

/** Return the names of all settings that the extension declares, without the section's own. */
function settingNames(extension: vscode.Extension<unknown>): string[] {
  const manifest = extension.packageJSON as Manifest;
  const keys = manifest.contributes.configuration.flatMap((group) => Object.keys(group.properties));
  return keys.map((key) => key.slice(SECTION.length + 1));
}

function isSet(section: vscode.WorkspaceConfiguration, name: string): boolean {
  const where = section.inspect(name);
  const values = [where?.globalValue, where?.workspaceValue, where?.workspaceFolderValue];
  return values.some((value) => value !== undefined);
}

function put(tree: Record<string, unknown>, path: string[], value: unknown): void {
  const [head = "", ...rest] = path;
  if (rest.length === 0) {
    tree[head] = value;
    return;
  }
  const branch = (tree[head] ??= {}) as Record<string, unknown>;
  put(branch, rest, value);
}
