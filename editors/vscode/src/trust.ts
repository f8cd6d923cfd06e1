// Whether the user trusts the workspace: the server runs no program of one that nobody trusts.

import * as vscode from "vscode";
import type { Session } from "./types.ts";

const METHOD = "midfill/didChangeTrust";

/** Tell the server once the workspace is trusted; it was told how that is when it was started. */
export function reportTrust(session: Session): vscode.Disposable {
  const report = (): void => {
    if (vscode.workspace.isTrusted) {
      session.notify(METHOD, { trusted: true });
    }
  };
  return vscode.Disposable.from(
    vscode.workspace.onDidGrantWorkspaceTrust(report),
    // One that was just being started then has not heard it.
    session.onReady(report),
  );
}
