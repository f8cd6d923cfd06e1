// The messages between editor and server, for who looks for a mistake in them.

import * as vscode from "vscode";

const SETTING = "midfill.trace.server";

/**
 * Writes messages to a channel of their own while the setting wants them.
 *
 * The library takes the level of the channel for the switch, and from the setting only how much of
 * each message is written. That level can only be chosen in a menu that hardly anybody finds, and
 * not be written into a settings file; so the setting makes the level here.
 */
export class MessageTrace implements vscode.Disposable {
  /** What the library is to write to. */
  readonly channel: vscode.LogOutputChannel;
  private readonly levelEmitter = new vscode.EventEmitter<vscode.LogLevel>();
  private readonly listening: vscode.Disposable;
  private output: vscode.OutputChannel | undefined;

  constructor() {
    // Nothing else of it is used.
    const used: Pick<vscode.LogOutputChannel, "logLevel" | "onDidChangeLogLevel" | "trace"> = {
      get logLevel() {
        return level();
      },
      onDidChangeLogLevel: this.levelEmitter.event,
      trace: (message) => {
        this.write(message);
      },
    };
    this.channel = used as vscode.LogOutputChannel;
    this.listening = vscode.workspace.onDidChangeConfiguration((change) => {
      if (change.affectsConfiguration(SETTING)) {
        this.levelEmitter.fire(level());
      }
    });
  }

  dispose(): void {
    this.listening.dispose();
    this.levelEmitter.dispose();
    this.output?.dispose();
  }

  // Made with the first message: few people ever want to see it in the list.
  private write(message: string): void {
    this.output ??= vscode.window.createOutputChannel("midfill Messages");
    this.output.appendLine(message);
  }
}

function level(): vscode.LogLevel {
  const wanted = vscode.workspace.getConfiguration().get<string>(SETTING, "off");
  return wanted === "off" ? vscode.LogLevel.Off : vscode.LogLevel.Trace;
}
