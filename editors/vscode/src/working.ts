// Work that somebody waits for: shown once it takes noticeably long, and cancelled from there.

import * as vscode from "vscode";

// What is done sooner would only flash.
const SHOWN_AFTER_MS = 1_000;

/** Says what is being done, with how much of it is done since the last time, in per cent. */
export type Tell = (message: string, increment?: number) => void;

/** Do something that `token` cancels; from a second on a notification says so and offers that. */
export async function cancellable<Result>(
  title: string,
  token: vscode.CancellationToken | undefined,
  work: (token: vscode.CancellationToken, tell: Tell) => Promise<Result>,
): Promise<Result> {
  const source = new vscode.CancellationTokenSource();
  const passedOn = token?.onCancellationRequested(() => {
    source.cancel();
  });
  let said: Parameters<Tell> | undefined;
  let shown: vscode.Progress<{ message: string; increment?: number }> | undefined;
  const tell: Tell = (message, increment) => {
    said = [message, increment];
    shown?.report({ message, ...(increment === undefined ? {} : { increment }) });
  };
  const working = work(source.token, tell);
  const show = (): void => {
    const options = { location: vscode.ProgressLocation.Notification, title, cancellable: true };
    void vscode.window.withProgress(options, async (progress, cancelled) => {
      cancelled.onCancellationRequested(() => {
        source.cancel();
      });
      shown = progress;
      if (said !== undefined) {
        tell(...said);
      }
      // Whoever waits for the work hears of its failure.
      await working.catch(() => undefined);
    });
  };
  const timer = setTimeout(show, SHOWN_AFTER_MS);
  try {
    return await working;
  } finally {
    clearTimeout(timer);
    passedOn?.dispose();
    source.dispose();
  }
}
