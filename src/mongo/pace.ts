/**
 * How long the rest takes at the pace so far, in whole seconds.
 *
 * @param done how much of it was done in `seconds`
 * @param inAll undefined when it is not known; it may be an estimate that is too low
 * @returns undefined when it cannot be said
 */
export function remainingSeconds(done: number, inAll: number | undefined, seconds: number): number | undefined {
  if (inAll === undefined || done <= 0 || seconds <= 0) return undefined;
  return Math.ceil((Math.max(0, inAll - done) / done) * seconds);
}

/** Says yes now and then: at the earliest `ms` milliseconds after the last time, and after the beginning. */
export function nowAndThen(ms: number): () => boolean {
  let last = performance.now();
  return () => {
    const now = performance.now();
    if (now - last < ms) return false;
    last = now;
    return true;
  };
}
