// The menu behind the status bar item.

import * as vscode from "vscode";
import { pauseText } from "./appearance.ts";
import { chooseModel, type Downloads } from "./models.ts";
import type { PauseControl } from "./pausing.ts";
import { setSetting } from "./settings.ts";
import { MENU_COMMAND } from "./status.ts";
import type { Session } from "./types.ts";

interface Entry extends vscode.QuickPickItem {
  readonly run?: () => unknown;
}

interface Choice {
  readonly value: string;
  readonly detail: string;
}

const PROFILES: readonly Choice[] = [
  { value: "auto", detail: "Eco on battery, performance otherwise" },
  { value: "performance", detail: "Compute ahead what will probably be asked for next" },
  { value: "eco", detail: "Compute only once typing stops, and release the memory early" },
];

const EAGERNESS: readonly Choice[] = [
  { value: "quiet", detail: "Only what is right with a probability of 90 %" },
  { value: "reserved", detail: "What is right with a probability of 80 %" },
  { value: "balanced", detail: "What is right with a probability of 70 %" },
  { value: "eager", detail: "What is right with a probability of 35 %; more to look over" },
  { value: "always", detail: "Everything, however doubtful" },
];

/** Register the menu and the commands of it that a key may be bound to. */
export function registerMenu(
  session: Session,
  pausing: PauseControl,
  downloads: Downloads,
): vscode.Disposable {
  const { registerCommand } = vscode.commands;
  return vscode.Disposable.from(
    registerCommand(MENU_COMMAND, () => show("midfill", entries(session, pausing))),
    registerCommand("midfill.pause", () => pausing.begin("everywhere")),
    registerCommand("midfill.pauseHour", () => pausing.begin("hour")),
    registerCommand("midfill.pauseLanguage", () => pausing.begin("language")),
    registerCommand("midfill.pauseFile", () => pausing.begin("file")),
    registerCommand("midfill.resume", () => pausing.resume()),
    registerCommand("midfill.togglePause", () =>
      pausing.active() === undefined ? pausing.begin("everywhere") : pausing.resume(),
    ),
    registerCommand("midfill.chooseModel", () => chooseModel(session, downloads)),
    registerCommand("midfill.downloadModel", () => downloads.begin()),
    registerCommand("midfill.chooseProfile", () => choose("profile", "Profile", PROFILES)),
    registerCommand("midfill.chooseEagerness", () =>
      choose("completion.eagerness", "How sure a suggestion must be to be shown unasked", EAGERNESS),
    ),
  );
}

function entries(session: Session, pausing: PauseControl): Entry[] {
  const section = vscode.workspace.getConfiguration("midfill");
  const { status } = session;
  const first = firstNeed(session);
  return [
    ...(first === undefined ? [] : [first]),
    separator("Suggestions"),
    ...pauseEntries(pausing),
    separator("Model"),
    {
      label: "$(chip) Model…",
      description: status.model ?? section.get<string>("model", "auto"),
      run: command("midfill.chooseModel"),
    },
    {
      label: "$(dashboard) Profile…",
      description: section.get<string>("profile", "auto"),
      run: command("midfill.chooseProfile"),
    },
    {
      label: "$(settings) Eagerness…",
      description: section.get<string>("completion.eagerness", "balanced"),
      run: command("midfill.chooseEagerness"),
    },
    separator("midfill"),
    { label: "$(output) Show the Log", run: command("midfill.showLog") },
    { label: "$(gear) Settings", run: command("midfill.openSettings") },
    { label: "$(graph) Statistics", run: command("midfill.stats") },
    { label: "$(pulse) Check the Installation", run: command("midfill.doctor") },
    { label: "$(refresh) Restart the Server", run: command("midfill.restart") },
    { label: "$(book) Get Started", run: command("midfill.openWalkthrough") },
  ];
}

// What is in the way of any suggestion comes first.
function firstNeed({ status }: Session): Entry | undefined {
  switch (status.state) {
    case "absent":
      return { label: "$(cloud-download) Install the Server…", run: command("midfill.install") };
    case "missing":
      return {
        label: "$(cloud-download) Download the Model",
        description: status.message,
        run: command("midfill.downloadModel"),
      };
    case "failed":
    case "stopped":
      return {
        label: "$(refresh) Restart the Server",
        description: status.message,
        run: command("midfill.restart"),
      };
    default:
      return undefined;
  }
}

function pauseEntries(pausing: PauseControl): Entry[] {
  const document = vscode.window.activeTextEditor?.document;
  const pause = pausing.of(document);
  if (pause !== undefined) {
    const description = pauseText(pause, document?.languageId);
    return [{ label: "$(debug-start) Resume", description, run: command("midfill.resume") }];
  }
  const found: Entry[] = [
    { label: "$(debug-pause) Pause", description: "everywhere", run: command("midfill.pause") },
    { label: "$(clock) Pause for an Hour", description: "everywhere", run: command("midfill.pauseHour") },
  ];
  if (document !== undefined) {
    found.push(
      {
        label: "$(code) Pause for This Language",
        description: document.languageId,
        run: command("midfill.pauseLanguage"),
      },
      {
        label: "$(file) Pause for This File",
        description: vscode.workspace.asRelativePath(document.uri),
        run: command("midfill.pauseFile"),
      },
    );
  }
  return found;
}

async function choose(name: string, title: string, choices: readonly Choice[]): Promise<void> {
  const current = vscode.workspace.getConfiguration("midfill").get<string>(name);
  const all = choices.map(
    ({ value, detail }): Entry => ({
      label: value,
      detail,
      ...(value === current ? { description: "current" } : {}),
      run: () => setSetting(name, value),
    }),
  );
  await show(
    title,
    all,
    all.find(({ label }) => label === current),
  );
}

async function show(title: string, all: Entry[], current?: Entry): Promise<void> {
  const pick = vscode.window.createQuickPick<Entry>();
  pick.title = title;
  pick.items = all;
  pick.matchOnDescription = true;
  pick.activeItems = current === undefined ? [] : [current];
  const chosen = await new Promise<Entry | undefined>((resolve) => {
    pick.onDidAccept(() => {
      resolve(pick.activeItems[0]);
    });
    pick.onDidHide(() => {
      resolve(undefined);
    });
    pick.show();
  });
  pick.dispose();
  await chosen?.run?.();
}

function command(name: string): () => Thenable<unknown> {
  return () => vscode.commands.executeCommand(name);
}

function separator(label: string): Entry {
  return { label, kind: vscode.QuickPickItemKind.Separator };
}
