// The connection to the server: started, watched, and started again when it ends.

import type { ChildProcess } from "node:child_process";
import type { Readable } from "node:stream";
import * as vscode from "vscode";
import {
  CloseAction,
  ErrorAction,
  LanguageClient,
  type LanguageClientOptions,
  type Middleware,
  RevealOutputChannelOn,
  type StaticFeature,
} from "vscode-languageclient/node";
import { Backoff } from "./backoff.ts";
import { endServer, startServer, toLog } from "./child.ts";
import { SECTION, serverSettings } from "./config.ts";
import { MessageTrace } from "./trace.ts";
import type { MidfillStatus, Session } from "./types.ts";

const SHUTDOWN_WITHIN_MS = 3_000;

const NOTHING_SAID: MidfillStatus = {
  state: "stopped",
  working: false,
  message: "",
  model: null,
  device: null,
  percent: null,
  downloadBytes: null,
  log: null,
};

// Notebook cells are documents of their own, and what is not saved yet is code as well. The editor
// also shows as documents what nobody writes: logs, results of a search, old versions of files.
const SCHEMES = ["file", "untitled", "vscode-notebook-cell", "vscode-remote", "vscode-vfs"];

/** Returns the command line of the server, or undefined after it has told the user why not. */
export type Locate = () => Promise<readonly string[] | undefined>;

/** Keeps one server running. A new client is made for each start; `onClient` tells of it. */
export class ServerSession implements Session, vscode.Disposable {
  client: LanguageClient | undefined;
  /** What every client made from now on does with messages. */
  middleware: Middleware = {};
  status: MidfillStatus = NOTHING_SAID;
  private readonly statusEmitter = new vscode.EventEmitter<MidfillStatus>();
  private readonly readyEmitter = new vscode.EventEmitter<undefined>();
  private readonly clientEmitter = new vscode.EventEmitter<LanguageClient>();
  private readonly backoff = new Backoff();
  private command: readonly string[] | undefined;
  private child: ChildProcess | undefined;
  private timer: NodeJS.Timeout | undefined;
  // Counts starts and stops: what an earlier start still has to say is of no interest then.
  private turn = 0;

  readonly onStatus = this.statusEmitter.event;
  readonly onReady = this.readyEmitter.event;
  readonly onClient = this.clientEmitter.event;

  private readonly extension: vscode.Extension<unknown>;
  private readonly log: vscode.LogOutputChannel;
  private readonly trace = new MessageTrace();
  private readonly locate: Locate;

  constructor(extension: vscode.Extension<unknown>, log: vscode.LogOutputChannel, locate: Locate) {
    this.extension = extension;
    this.log = log;
    this.locate = locate;
  }

  serverCommand(): readonly string[] | undefined {
    return this.command;
  }

  async restart(): Promise<void> {
    this.backoff.reset();
    const stopped = this.stop();
    const { turn } = this;
    await stopped;
    // Whoever stops or restarts it meanwhile has the last word.
    if (turn === this.turn) {
      await this.begin();
    }
  }

  async stop(): Promise<void> {
    this.turn += 1;
    clearTimeout(this.timer);
    const ended = this.letGo();
    this.tell({ state: "stopped" });
    await ended;
  }

  notify(method: string, params: object): void {
    if (this.client?.isRunning() === true) {
      // The library has written to the log what went wrong.
      this.client.sendNotification(method, params).catch(() => undefined);
    }
  }

  async whileInstalling<Result>(work: () => Promise<Result>): Promise<Result> {
    const { turn, status } = this;
    if (this.client !== undefined) {
      return await work();
    }
    this.tell({ state: "installing" });
    try {
      return await work();
    } finally {
      if (turn === this.turn) {
        this.tell(status);
      }
    }
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.trace.dispose();
    this.statusEmitter.dispose();
    this.readyEmitter.dispose();
    this.clientEmitter.dispose();
  }

  private async begin(): Promise<void> {
    this.turn += 1;
    const turn = this.turn;
    this.tell({ state: "loading", message: "Starting" });
    this.command = await this.locate();
    if (turn !== this.turn) {
      return;
    }
    if (this.command === undefined) {
      this.tell({ state: "absent", message: "The server is not installed" });
      return;
    }
    const client = this.makeClient(this.command, turn);
    this.client = client;
    this.clientEmitter.fire(client);
    this.backoff.started(Date.now());
    try {
      await client.start();
      this.log.info(`The server runs: ${this.command.join(" ")}`);
    } catch (error) {
      if (turn === this.turn) {
        this.log.error(`The server could not be started: ${String(error)}`);
        this.ended(turn);
      }
    }
  }

  /** The server is gone though nobody stopped it. */
  private ended(turn: number): void {
    if (turn !== this.turn) {
      return;
    }
    this.turn += 1;
    void this.letGo();
    const delay = this.backoff.ended(Date.now());
    if (delay === undefined) {
      this.giveUp();
      return;
    }
    const message = `The server ended; it is started again in ${delay / 1000} s`;
    this.log.warn(message);
    this.tell({ state: "loading", message });
    this.timer = setTimeout(() => void this.begin(), delay);
  }

  /** Forget the client and the process, and end both. */
  private async letGo(): Promise<void> {
    const { client, child } = this;
    this.client = undefined;
    this.child = undefined;
    try {
      // One that hears of its server's end just now has to finish that first.
      await new Promise(setImmediate);
      if (client?.isRunning() === true) {
        await client.dispose(SHUTDOWN_WITHIN_MS);
      }
    } catch {
      // It does not answer any more.
    }
    if (child !== undefined) {
      await endServer(child);
    }
  }

  private giveUp(): void {
    const message = "midfill's server ended again and again, and is not started any more.";
    this.log.error(message);
    this.tell({ state: "stopped", message });
    void vscode.window.showErrorMessage(message, "Show Log", "Restart").then((chosen) => {
      if (chosen === "Show Log") {
        this.log.show();
      } else if (chosen === "Restart") {
        void this.restart();
      }
    });
  }

  private tell(change: Partial<MidfillStatus>): void {
    const wasReady = this.status.state === "ready";
    this.status = { ...NOTHING_SAID, ...change };
    this.statusEmitter.fire(this.status);
    if (!wasReady && this.status.state === "ready") {
      this.readyEmitter.fire(undefined);
    }
  }

  private makeClient(command: readonly string[], turn: number): LanguageClient {
    const start = async (): Promise<{ process: ChildProcess; detached: boolean }> => {
      const child = await startServer(command, this.log);
      if (turn === this.turn) {
        this.child = child;
      } else {
        void endServer(child);
      }
      // The process is ended here, and not by the library.
      return { process: child, detached: true };
    };
    const client = new QuietClient(SECTION, "midfill", start, this.clientOptions(turn));
    client.registerFeature(whatIsShown);
    client.onNotification("midfill/didChangeStatus", (status: MidfillStatus) => {
      if (turn === this.turn) {
        this.tell(status);
      }
    });
    return client;
  }

  private clientOptions(turn: number): LanguageClientOptions & { stdioOptions: Streams } {
    const settings = (): Record<string, unknown> => serverSettings(this.extension);
    return {
      documentSelector: documents(),
      initializationOptions: () => ({ streaming: true, trusted: vscode.workspace.isTrusted }),
      outputChannel: this.log,
      traceOutputChannel: this.trace.channel,
      revealOutputChannelOn: RevealOutputChannelOn.Never,
      stdioOptions: { stdout: toLog, stderr: toLog },
      initializationFailedHandler: () => false,
      errorHandler: {
        error: () => ({ action: ErrorAction.Continue, handled: true }),
        closed: () => {
          this.ended(turn);
          return { action: CloseAction.DoNotRestart, handled: true, message: "The server ended." };
        },
      },
      middleware: {
        ...this.middleware,
        workspace: {
          ...this.middleware.workspace,
          configuration: (params) =>
            params.items.map((item) => (item.section === SECTION ? settings() : null)),
          // What the library would send has all defaults in it, and the extension's own settings.
          didChangeConfiguration: async () =>
            this.client?.sendNotification("workspace/didChangeConfiguration", {
              settings: { [SECTION]: settings() },
            }),
        },
      },
    };
  }
}

/** Return which documents are completed: also those of the virtual folders that are open. */
function documents(): { scheme: string }[] {
  const folders = vscode.workspace.workspaceFolders ?? [];
  const schemes = new Set([...SCHEMES, ...folders.map((folder) => folder.uri.scheme)]);
  return [...schemes].map((scheme) => ({ scheme }));
}

/** What the library would show to the user goes to the log; the session says what matters. */
class QuietClient extends LanguageClient {
  override error(message: string, data?: unknown): void {
    // Why it could not be started is logged once, by the session, and not with three stacks.
    super.error(message, this.isRunning() ? data : undefined, false);
  }
}

interface Streams {
  stdout: (input: Readable, log: vscode.LogOutputChannel) => void;
  stderr: (input: Readable, log: vscode.LogOutputChannel) => void;
}

const whatIsShown: StaticFeature = {
  fillClientCapabilities(capabilities) {
    const others: unknown = capabilities.experimental;
    const midfill = { status: true, explanations: true };
    capabilities.experimental = { ...(others as object | undefined), midfill };
  },
  initialize() {
    // The server needs no answer to this capability.
  },
  getState: () => ({ kind: "static" }),
  clear() {
    // It holds nothing.
  },
};
