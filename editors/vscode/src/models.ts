// Which models there are, choosing one, and fetching it.

import * as vscode from "vscode";
import { size } from "./appearance.ts";
import { offerTo } from "./offering.ts";
import { setSetting } from "./settings.ts";
import type { MidfillStatus, Session } from "./types.ts";

const MODELS_METHOD = "midfill/models";
const DOWNLOAD_COMMAND = "midfill.download";
const NOT_RUNNING = "midfill's server is not running.";

/** One model, as the server describes it. */
export interface Model {
  readonly id: string;
  readonly installed: boolean;
  readonly downloadBytes: number;
  readonly memoryBytes: number | null;
  readonly recommended: boolean;
  readonly note: string;
}

interface Models {
  readonly current: string | null;
  readonly models: readonly Model[];
}

interface ModelEntry extends vscode.QuickPickItem {
  readonly id: string;
  readonly model?: Model;
}

/** Let the user choose a model; one that is not here yet is fetched if he agrees. */
export async function chooseModel(session: Session, downloads: Downloads): Promise<void> {
  const { client } = session;
  if (client?.isRunning() !== true) {
    void offerTo("Restart", NOT_RUNNING, "midfill.restart");
    return;
  }
  const answer = client
    .sendRequest<Models>(MODELS_METHOD, {})
    .then(({ current, models }) => modelEntries(current, models));
  const chosen = await vscode.window.showQuickPick(answer, {
    title: "Model",
    placeHolder: "Which model completes",
    matchOnDescription: true,
    matchOnDetail: true,
  });
  if (chosen === undefined) {
    return;
  }
  const { id, model } = chosen;
  if (model === undefined || model.installed) {
    await setSetting("model", id);
    return;
  }
  const question = `${id} is not on this machine yet: ${size(model.downloadBytes)} to download.`;
  const download = "Download";
  if ((await vscode.window.showInformationMessage(question, { modal: true }, download)) === download) {
    // Leave is given before the setting changes: the server would ask for it otherwise.
    await downloads.begin(id);
    await setSetting("model", id);
  }
}

/** Fetches models, and shows a notification while one is being fetched. */
export class Downloads implements vscode.Disposable {
  private readonly subscription: vscode.Disposable;
  private before: MidfillStatus["state"];
  private asked = false;
  private shown: Notification | undefined;

  constructor(session: Session) {
    this.before = session.status.state;
    this.subscription = session.onStatus((status) => {
      this.update(status);
    });
  }

  /** Fetch a model, or the one that the settings mean, and have it opened. */
  async begin(id?: string): Promise<void> {
    const names = await vscode.commands.getCommands(true);
    if (!names.includes(DOWNLOAD_COMMAND)) {
      void offerTo("Restart", NOT_RUNNING, "midfill.restart");
      return;
    }
    this.asked = true;
    await vscode.commands.executeCommand(DOWNLOAD_COMMAND, ...(id === undefined ? [] : [id]));
  }

  dispose(): void {
    this.shown?.end();
    this.subscription.dispose();
  }

  // A model that was missing, and is being loaded now, is being fetched: the server has asked. One
  // that only has to be loaded is for the status bar alone.
  private update(status: MidfillStatus): void {
    if (status.state !== "loading") {
      this.shown?.end();
      this.shown = undefined;
    } else if (this.asked || this.before === "missing") {
      this.asked = false;
      this.shown ??= new Notification();
    }
    this.shown?.report(status);
    this.before = status.state;
  }
}

/** A progress notification that follows the status. */
class Notification {
  private progress: vscode.Progress<{ message?: string; increment?: number }> | undefined;
  private percent = 0;
  private readonly ended: Promise<void>;
  end: () => void = () => undefined;

  constructor() {
    this.ended = new Promise((resolve) => {
      this.end = resolve;
    });
    const where = { location: vscode.ProgressLocation.Notification, title: "midfill" };
    void vscode.window.withProgress(where, (progress) => {
      this.progress = progress;
      return this.ended;
    });
  }

  report({ message, percent }: MidfillStatus): void {
    const now = percent ?? this.percent;
    // The next part of the work begins at nothing again; the bar cannot go back.
    this.progress?.report({ message, increment: Math.max(0, now - this.percent) });
    this.percent = Math.max(this.percent, now);
  }
}

function modelEntries(current: string | null, models: readonly Model[]): ModelEntry[] {
  const auto: ModelEntry = {
    id: "auto",
    label: "auto",
    detail: "The best model that this machine serves fast enough",
  };
  return [auto, ...models.map((model) => modelEntry(model, model.id === current))];
}

function modelEntry(model: Model, isCurrent: boolean): ModelEntry {
  const facts = [
    isCurrent ? "current" : "",
    model.installed ? "installed" : `${size(model.downloadBytes)} to download`,
    model.memoryBytes === null ? "" : `${size(model.memoryBytes)} of memory`,
    model.recommended ? "recommended" : "",
  ];
  return {
    id: model.id,
    label: model.id,
    description: facts.filter((fact) => fact !== "").join(" · "),
    detail: model.note,
    model,
  };
}
