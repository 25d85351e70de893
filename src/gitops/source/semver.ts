/** A version of semver.org 2.0, with missing parts as zero. */
export interface Version {
  major: number;
  minor: number;
  patch: number;
  /** Dot-separated parts after the hyphen; empty for a release. */
  prerelease: readonly string[];
}

type Operator = '=' | '!=' | '>' | '>=' | '<' | '<=';
type Comparator = readonly [Operator, Version];

const VERSION = /^v?(\d{1,15})(?:\.(\d{1,15}))?(?:\.(\d{1,15}))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?$/;
const PARTIAL =
  /^v?(\d{1,15}|[xX*])(?:\.(\d{1,15}|[xX*]))?(?:\.(\d{1,15}|[xX*]))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?$/;

/** A tag as a version, with or without a leading `v`; undefined for any other tag. */
export function parseVersion(text: string): Version | undefined {
  const match = VERSION.exec(text);
  if (match === null) return undefined;
  return {
    major: Number(match[1]),
    minor: Number(match[2] ?? 0),
    patch: Number(match[3] ?? 0),
    prerelease: match[4]?.split('.') ?? [],
  };
}

/** Negative, zero or positive, by precedence (semver.org 2.0, 11). */
export function compareVersions(a: Version, b: Version): number {
  const difference = a.major - b.major || a.minor - b.minor || a.patch - b.patch;
  if (difference !== 0) return difference;
  if (a.prerelease.length === 0 || b.prerelease.length === 0) return b.prerelease.length - a.prerelease.length;
  for (let index = 0; index < Math.max(a.prerelease.length, b.prerelease.length); index += 1) {
    const [one, other] = [a.prerelease[index], b.prerelease[index]];
    if (one === undefined) return -1;
    if (other === undefined) return 1;
    const order = comparePart(one, other);
    if (order !== 0) return order;
  }
  return 0;
}

/**
 * A test for a range as Flux takes it: comparators joined by spaces or commas (all hold), alternatives by `||`; `~1.2`, `^1.2`, `1.x`,
 * `1.2 - 1.4`. Pre-releases match only where the range itself names one. Undefined when the text is no range.
 */
export function parseRange(text: string): ((version: Version) => boolean) | undefined {
  const alternatives: Comparator[][] = [];
  for (const part of text.split('||')) {
    const comparators = parseComparators(part.trim());
    if (comparators === undefined) return undefined;
    alternatives.push(comparators);
  }
  return (version) =>
    alternatives.some((comparators) => {
      const named = comparators.some(([, bound]) => bound.prerelease.length > 0);
      return (version.prerelease.length === 0 || named) && comparators.every((one) => holds(one, version));
    });
}

function parseComparators(text: string): Comparator[] | undefined {
  const hyphen = /^(\S+)\s+-\s+(\S+)$/.exec(text);
  // `>= 1.2` is one comparator, with or without the space.
  const parts =
    hyphen === null ? text.replaceAll(/([<>=!~^]+)\s+/g, '$1').split(/[\s,]+/) : [`>=${hyphen[1]}`, `<=${hyphen[2]}`];
  const comparators: Comparator[] = [];
  for (const part of parts.filter((one) => one !== '')) {
    const found = parseComparator(part);
    if (found === undefined) return undefined;
    comparators.push(...found);
  }
  return comparators.length === 0 ? undefined : comparators;
}

function parseComparator(text: string): Comparator[] | undefined {
  const [, operator = '', rest = ''] = /^(=|!=|>=?|<=?|~>?|\^)?(.*)$/.exec(text) ?? [];
  const match = PARTIAL.exec(rest);
  if (match === null) return undefined;
  const numbers = [match[1], match[2], match[3]].map((part) =>
    part === undefined || /^[xX*]$/.test(part) ? undefined : Number(part),
  );
  const [major, minor, patch] = numbers;
  const low: Version = {
    major: major ?? 0,
    minor: minor ?? 0,
    patch: patch ?? 0,
    prerelease: match[4]?.split('.') ?? [],
  };
  // The first version that is beyond everything that the written parts stand for.
  const above = (parts: number): Version => {
    if (parts <= 1) return { major: low.major + 1, minor: 0, patch: 0, prerelease: [] };
    return parts === 2
      ? { major: low.major, minor: low.minor + 1, patch: 0, prerelease: [] }
      : { major: low.major, minor: low.minor, patch: low.patch + 1, prerelease: [] };
  };
  const written = major === undefined ? 0 : minor === undefined ? 1 : patch === undefined ? 2 : 3;

  switch (operator) {
    case '~':
    case '~>':
      return written === 0
        ? [['>=', low]]
        : [
            ['>=', low],
            ['<', above(Math.min(written, 2))],
          ];
    case '^':
      if (written === 0) return [['>=', low]];
      return [
        ['>=', low],
        ['<', above(low.major > 0 || written === 1 ? 1 : low.minor > 0 || written === 2 ? 2 : 3)],
      ];
    case '>':
      return written === 3 ? [['>', low]] : written === 0 ? [['<', low]] : [['>=', above(written)]];
    case '<=':
      return written === 3 ? [['<=', low]] : written === 0 ? [['>=', low]] : [['<', above(written)]];
    case '>=':
    case '<':
      return [[operator, low]];
    case '!=':
      return written === 3 ? [['!=', low]] : undefined;
    default:
      if (written === 0) return [['>=', low]];
      return written === 3
        ? [['=', low]]
        : [
            ['>=', low],
            ['<', above(written)],
          ];
  }
}

function holds([operator, bound]: Comparator, version: Version): boolean {
  const order = compareVersions(version, bound);
  switch (operator) {
    case '=':
      return order === 0;
    case '!=':
      return order !== 0;
    case '>':
      return order > 0;
    case '>=':
      return order >= 0;
    case '<':
      return order < 0;
    case '<=':
      return order <= 0;
  }
}

function comparePart(a: string, b: string): number {
  const [one, other] = [/^\d+$/.test(a), /^\d+$/.test(b)];
  if (one && other) return Number(a) - Number(b);
  if (one !== other) return one ? -1 : 1;
  return a === b ? 0 : a < b ? -1 : 1;
}
