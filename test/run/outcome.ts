/** How one program of tests ended. */
export interface Outcome {
  passed: number;
  failed: number;
  skipped: number;
  /** In a few words, when it did not come to its own end. */
  problem?: string;
}

/** What is known of a process that has ended. */
export interface Ending {
  output: string;
  code: number | null;
  signal: string | null;
  /** Set when it was stopped for its time limit. */
  timedOutAfterMs?: number;
}

/**
 * Counts from the summary that uvu prints at the end (`Total:`, `Passed:`, `Skipped:`). A file that crashes, runs out of time or has no
 * tests counts as one failed, whatever it had printed until then.
 */
export function outcomeOf({ output, code, signal, timedOutAfterMs }: Ending): Outcome {
  if (timedOutAfterMs !== undefined) return broken(`not done after ${timedOutAfterMs / 1000} s`);
  const plain = stripColours(output);
  const summaries = [...plain.matchAll(/^\s*Total:\s+(\d+)\n\s*Passed:\s+(\d+)\n\s*Skipped:\s+(\d+)/gm)];
  let [total, passed, skipped] = [0, 0, 0];
  for (const [, all, good, left] of summaries) {
    total += Number(all);
    passed += Number(good);
    skipped += Number(left);
  }
  // uvu counts a skipped test neither in the total nor as passed.
  const failed = total - passed;
  if (signal !== null) return broken(`ended by ${signal}`);
  if (summaries.length === 0)
    return broken(code === 0 ? 'no tests in it ran' : `ended with ${code} before its tests were done`);
  if (code !== 0 && failed === 0) return { ...broken(`its tests passed, but it ended with ${code}`), passed, skipped };
  return { passed, failed, skipped };
}

function broken(problem: string): Outcome {
  return { passed: 0, failed: 1, skipped: 0, problem };
}

function stripColours(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is what begins a colour
  return text.replaceAll(/\u001b\[[0-9;]*m/g, '');
}
