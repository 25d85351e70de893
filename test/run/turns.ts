/** One piece of work, done when the promise is. */
export type Work = () => Promise<void>;

/** Does all of the work in its order, so many pieces at a time, and begins none after the abort. */
export async function inTurn(work: readonly Work[], workers: number, abort: AbortSignal): Promise<void> {
  const queue = [...work];
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined && !abort.aborted; next = queue.shift()) await next();
  };
  await Promise.all(Array.from({ length: workers }, worker));
}
