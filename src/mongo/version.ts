/** "7.0.14-8" as [7, 0, 14]; what cannot be read counts as 0. */
export function parseVersion(version: string): [number, number, number] {
  const [, major = '0', minor = '0', patch = '0'] = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(version) ?? [];
  return [Number(major), Number(minor), Number(patch)];
}

/** True when the version is that one or newer. */
export function atLeast(version: string, ...[major, minor, patch = 0]: [number, number, number?]): boolean {
  const [a, b, c] = parseVersion(version);
  if (a !== major) return a > major;
  if (b !== minor) return b > minor;
  return c >= patch;
}

/** Time series are one collection from 8.3 on, read raw with `rawData`; before they were a view over system.buckets.X. */
export function hasViewlessTimeSeries(version: string): boolean {
  return atLeast(version, 8, 3);
}
