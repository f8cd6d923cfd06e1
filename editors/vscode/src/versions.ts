// Version numbers, as far as the extension has to compare them.

/** Return the numbers at the beginning of a version, or undefined if there are none. */
export function parseVersion(text: string): readonly number[] | undefined {
  const numbers = /^\d+(\.\d+)*/.exec(text.trim())?.[0];
  return numbers?.split(".").map(Number);
}

/** Say whether one version is at least the other. What stands behind the numbers does not count. */
export function isAtLeast(version: string, minimum: string): boolean {
  const left = parseVersion(version);
  const right = parseVersion(minimum);
  if (left === undefined || right === undefined) {
    return false;
  }
  for (let at = 0; at < Math.max(left.length, right.length); at += 1) {
    const difference = (left[at] ?? 0) - (right[at] ?? 0);
    if (difference !== 0) {
      return difference > 0;
    }
  }
  return true;
}
