// Answers that come in two parts: their first line, and the whole. Nothing here knows the editor.

/** What came of a question: the whole answer, or a line of it while the rest is being written. */
export type Outcome<Answer, Line> =
  | { readonly kind: "whole"; readonly answer: Answer }
  | { readonly kind: "line"; readonly line: Line };

/**
 * How long the rest may take, once the first line is there, to be waited for (ms). The editor shows
 * nothing for a moment when a text is exchanged for a longer one, so that must be worth it.
 */
export const PATIENCE_MS = 120;

/**
 * Wait for the whole answer, or for its first line if the rest takes noticeably longer.
 * Rejects if the answer does before that.
 */
export function wholeOrLine<Answer, Line>(
  answer: PromiseLike<Answer>,
  line: PromiseLike<Line>,
  patienceMs: number = PATIENCE_MS,
): Promise<Outcome<Answer, Line>> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    answer.then(
      (whole) => {
        clearTimeout(timer);
        resolve({ kind: "whole", answer: whole });
      },
      (reason: unknown) => {
        clearTimeout(timer);
        reject(reason instanceof Error ? reason : new Error(String(reason)));
      },
    );
    void line.then((first) => {
      timer = setTimeout(() => {
        resolve({ kind: "line", line: first });
      }, patienceMs);
    });
  });
}

/** Say whether a text goes on where a line that is on the screen ends. */
export function goesOn(line: string, whole: string): boolean {
  return whole.length > line.length && whole.startsWith(line);
}
