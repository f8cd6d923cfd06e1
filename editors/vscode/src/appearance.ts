// How the state of things is put into words and icons. Nothing here knows the editor.

import type { Pause } from "./pause.ts";
import type { MidfillStatus } from "./types.ts";

/** The status bar item. `tooltip` is markdown. */
export interface Appearance {
  readonly text: string;
  readonly tooltip: string;
  readonly level: "normal" | "warning" | "error";
  /** What a screen reader says. */
  readonly spoken: string;
}

interface Look {
  readonly icon: string;
  readonly label?: string;
  readonly level?: Appearance["level"];
  readonly says: string;
}

/** Return what the status bar shows. `language` is the active document's, if there is one. */
export function appearance(
  status: MidfillStatus,
  pause: Pause | undefined,
  language: string | undefined,
): Appearance {
  const look = lookOf(status, pause, language);
  const label = look.label === undefined ? "midfill" : `midfill: ${look.label}`;
  return {
    text: `$(${look.icon}) ${label}`,
    tooltip: tooltip(status, look.says),
    level: look.level ?? "normal",
    spoken: `midfill, ${look.says}`,
  };
}

/** Say what is paused, and until when. */
export function pauseText(pause: Pause, language: string | undefined): string {
  switch (pause.scope) {
    case "everywhere":
      return "paused everywhere, until you resume";
    case "hour":
      return `paused everywhere, until ${clock(pause.until ?? 0)}`;
    case "language":
      return `paused for ${language ?? "this language"}, until you resume`;
    case "file":
      return "paused for this file, until the window is closed";
  }
}

/** Return a number of bytes as somebody would say it: `531 MB`, `1.1 GB`. */
export function size(bytes: number): string {
  const megabytes = bytes / 1e6;
  if (megabytes < 1) {
    return "less than 1 MB";
  }
  return megabytes < 950 ? `${megabytes.toFixed(0)} MB` : `${(megabytes / 1000).toFixed(1)} GB`;
}

function lookOf(
  status: MidfillStatus,
  pause: Pause | undefined,
  language: string | undefined,
): Look {
  switch (status.state) {
    // What keeps everything from working is told first, paused or not.
    case "absent":
      return { icon: "warning", label: "no server", level: "warning", says: "no server was found" };
    case "installing":
      return { icon: "sync~spin", label: "installing", says: "the server is being installed" };
    case "stopped":
      // Without a reason it is about to be started.
      return status.message === ""
        ? { icon: "sync~spin", says: "the server is not running" }
        : { icon: "error", label: "stopped", level: "error", says: "the server is not running" };
    case "failed":
      return { icon: "error", label: "error", level: "error", says: "the model could not be loaded" };
    case "missing":
      return {
        icon: "cloud-download",
        label: "no model",
        level: "warning",
        says: "the model is not on this machine yet",
      };
    case "loading":
      return loading(status);
    case "ready":
      if (pause !== undefined) {
        return { icon: "debug-pause", label: "paused", says: pauseText(pause, language) };
      }
      return status.working
        ? { icon: "loading~spin", says: "working" }
        : { icon: "sparkle", says: "ready" };
  }
}

function loading(status: MidfillStatus): Look {
  // Whether it starts, loads or downloads is in the message.
  const says = "loading";
  const icon = "sync~spin";
  if (status.percent === null) {
    return { icon, says };
  }
  const percent = `${status.percent.toFixed(0)} %`;
  return { icon, label: percent, says: `${says}, ${percent}` };
}

function tooltip(status: MidfillStatus, says: string): string {
  const lines = [`**midfill**: ${says}`];
  if (status.model !== null) {
    const device = status.device === null ? "" : ` on ${escaped(status.device)}`;
    lines.push(`Model: ${escaped(status.model)}${device}`);
  }
  if (status.message !== "") {
    lines.push(escaped(status.message));
  }
  lines.push("Click for the menu.");
  return lines.join("\n\n");
}

function escaped(text: string): string {
  return text.replace(/[\\`*_{}[\]()#+\-.!<>|~$]/g, "\\$&");
}

function clock(time: number): string {
  return new Date(time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}
