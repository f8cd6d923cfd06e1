// Runs tests inside the editor, one after the other, and tells of each in a line of JSON.

import { appendFileSync } from "node:fs";

const TEST_WITHIN_MS = 40_000;
// When something is wrong with all of them, nobody waits for each in turn.
const ALL_WITHIN_MS = 90_000;
const CONDITION_WITHIN_MS = 20_000;
const LOOK_EVERY_MS = 20;

interface Test {
  readonly name: string;
  readonly body: () => Promise<void>;
}

const tests: Test[] = [];

/** Declare a test. */
export function test(name: string, body: () => Promise<void>): void {
  tests.push({ name, body });
}

/** Run all tests; `report` is the file that gets the lines. */
export async function runAll(report: string): Promise<void> {
  const tell = (line: object): void => {
    appendFileSync(report, `${JSON.stringify(line)}\n`);
  };
  const end = Date.now() + ALL_WITHIN_MS;
  for (const { name, body } of tests) {
    if (Date.now() > end) {
      tell({ name, error: "not begun: those before it took too long" });
      continue;
    }
    try {
      await within(TEST_WITHIN_MS, body());
      tell({ name });
    } catch (error) {
      tell({ name, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    }
  }
  tell({ done: tests.length });
}

/** Wait for a condition; `what` tells what was waited for, and what there was instead. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  what: () => string,
): Promise<void> {
  const end = Date.now() + CONDITION_WITHIN_MS;
  while (!(await holds())) {
    if (Date.now() > end) {
      throw new Error(`in vain: ${what()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

async function within(limitMs: number, running: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`not done within ${limitMs} ms`));
    }, limitMs);
  });
  try {
    await Promise.race([running, late]);
  } finally {
    clearTimeout(timer);
  }
}
