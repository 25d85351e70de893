/** Names with a * for any characters: neither side ever runs a pattern that backtracks. */

/** Whether a text is what the pattern says. It takes time in proportion to pattern and text at most, whatever the pattern. */
export function matchesPattern(pattern: string, text: string): boolean {
  let [at, from] = [0, 0];
  let star: { at: number; from: number } | undefined;
  while (from < text.length) {
    if (pattern[at] === '*') {
      star = { at, from };
      at++;
    } else if (pattern[at] === text[from]) {
      at++;
      from++;
    } else if (star !== undefined) {
      // Only the last star may take one more: an earlier one could not do better.
      star.from++;
      at = star.at + 1;
      from = star.from;
    } else return false;
  }
  while (pattern[at] === '*') at++;
  return at === pattern.length;
}

/** Whether one of the patterns is met. */
export function matchesAny(patterns: readonly string[], text: string): boolean {
  return patterns.some((pattern) => matchesPattern(pattern, text));
}

/** The patterns as one regular expression of RE2, which CEL has: it is matched in linear time. */
export function asRE2(patterns: readonly string[]): string {
  const one = (pattern: string): string => pattern.replace(/[^A-Za-z0-9*/:_-]/g, '\\$&').replaceAll('*', '.*');
  return `^(${patterns.map(one).join('|')})$`;
}
