// All that users see of the extension, put together.

import * as vscode from "vscode";
import type { Middleware } from "vscode-languageclient/node";
import { registerAcceptance } from "./accept.ts";
import { Asking } from "./asking.ts";
import { reportCursor } from "./cursor.ts";
import { reportDiagnostics } from "./diagnostics.ts";
import { GhostText } from "./ghost.ts";
import { registerMenu } from "./menu.ts";
import { askForMissed } from "./missed.ts";
import { Downloads } from "./models.ts";
import { PauseControl } from "./pausing.ts";
import { showStatus } from "./status.ts";
import { reportTrust } from "./trust.ts";
import type { Session } from "./types.ts";
import { greet, registerWalkthrough } from "./walkthrough.ts";

const DID_ACCEPT_COMMAND = "midfill.didAccept";

/**
 * Put everything in place, until the extension ends. Returns the middleware for each client of the
 * session; so this has to be called before the first one is made.
 */
export function showFace(context: vscode.ExtensionContext, session: Session): Middleware {
  const pausing = new PauseControl(context.globalState);
  const downloads = new Downloads(session);
  const ghost = new GhostText(session, pausing);
  const asking = new Asking(session);
  context.subscriptions.push(
    pausing,
    downloads,
    ghost,
    asking,
    showStatus(session, pausing),
    registerMenu(session, pausing, downloads),
    registerAcceptance(session, ghost),
    askForMissed(session, ghost),
    reportCursor(session, pausing),
    reportDiagnostics(session),
    reportTrust(session),
    registerWalkthrough(context, session, ghost),
  );
  void greet(context);
  return {
    ...asking.middleware,
    provideInlineCompletionItems: ghost.provide,
    executeCommand: (command, args, next) => {
      if (command === DID_ACCEPT_COMMAND) {
        ghost.accepted();
      }
      return asking.executeCommand(command, args, next);
    },
  };
}
