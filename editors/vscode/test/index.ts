// What the editor runs in its extension host; tests/editors/test_vscode_host.py starts it.

import { runAll } from "./runner.ts";
import "./lifecycle.test.ts";
import "./ghost.test.ts";
import "./notices.test.ts";
import "./asking.test.ts";

/** Called by the editor. It reports to the file that the environment names. */
export async function run(): Promise<void> {
  const report = process.env["MIDFILL_TEST_REPORT"];
  if (report === undefined) {
    throw new Error("MIDFILL_TEST_REPORT names no file");
  }
  await runAll(report);
}
