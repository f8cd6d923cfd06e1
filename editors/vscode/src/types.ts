// What the parts of the extension say to each other.

import type * as vscode from "vscode";
import type { LanguageClient } from "vscode-languageclient/node";

/**
 * How it stands with the model: the server's `midfill/didChangeStatus`.
 *
 * The last three states are the extension's own: `absent` means that no server was found,
 * `installing` that one is being installed, `stopped` that it runs no longer; if it is not going to
 * be started again, `message` says why.
 */
export interface MidfillStatus {
  readonly state: "loading" | "ready" | "missing" | "failed" | "absent" | "installing" | "stopped";
  readonly working: boolean;
  readonly message: string;
  readonly model: string | null;
  readonly device: string | null;
  readonly percent: number | null;
  readonly downloadBytes: number | null;
  /** The server's own log file. */
  readonly log: string | null;
}

/** The running server, as the rest of the extension sees it. It survives restarts. */
export interface Session {
  /** The client that talks to the server; undefined while none runs. Another one after a restart. */
  readonly client: LanguageClient | undefined;
  /** The last status that was told. */
  readonly status: MidfillStatus;
  readonly onStatus: vscode.Event<MidfillStatus>;
  /** Fires when suggestions become possible: first, after a restart, with another model. */
  readonly onReady: vscode.Event<undefined>;
  /**
   * Fires with each new client, before it is started: the place for `client.onNotification(…)`.
   * Handlers end with their client.
   */
  readonly onClient: vscode.Event<LanguageClient>;
  /** Tell the server something, if one runs; one that is just ending misses nothing. */
  notify(method: string, params: object): void;
  restart(): Promise<void>;
  stop(): Promise<void>;
  /** Show that a server is being installed, if none runs, until `work` is done. */
  whileInstalling<Result>(work: () => Promise<Result>): Promise<Result>;
  /** Program and arguments of the command line `midfill`, to which `stats` and so on are added. */
  serverCommand(): readonly string[] | undefined;
}
