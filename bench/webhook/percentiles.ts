/** How a lot of durations are spread, in their own unit. */
export interface Percentiles {
  count: number;
  median: number;
  p95: number;
  p99: number;
  max: number;
}

/** @param values at least one */
export function percentiles(values: readonly number[]): Percentiles {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
  return { count: sorted.length, median: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) };
}
