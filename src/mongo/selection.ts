import { BackstayError } from '../api/errors.ts';
import { type Namespace, nameOf, parseNamespace } from './namespace.ts';

/**
 * Which namespaces are meant. A pattern is "shop.orders", "shop.*", "*.orders" or "shop", which means the whole database; `*` stands for
 * any characters, and `\*` for a star itself. Nothing included means everything; an exclusion wins over an inclusion.
 */
export interface NamespaceSelection {
  include?: string[];
  exclude?: string[];
}

/** The selection as a predicate. @throws BackstayError InvalidPattern */
export function selects(selection: NamespaceSelection | undefined): (namespace: Namespace) => boolean {
  const include = (selection?.include ?? []).map(matcher);
  const exclude = (selection?.exclude ?? []).map(matcher);
  return (namespace) => {
    const name = nameOf(namespace);
    return (
      (include.length === 0 || include.some((matches) => matches.test(name))) &&
      !exclude.some((matches) => matches.test(name))
    );
  };
}

/** True when the selection leaves nothing out. */
export function selectsAll(selection: NamespaceSelection | undefined): boolean {
  return (selection?.include ?? []).length === 0 && (selection?.exclude ?? []).length === 0;
}

function matcher(pattern: string): RegExp {
  return new RegExp(`^${expression(wholeName(pattern), '.*')}$`, 'su');
}

/** A pattern without a dot names a database. */
function wholeName(pattern: string): string {
  if (pattern === '' || pattern.startsWith('.')) {
    throw new BackstayError('InvalidPattern', `${JSON.stringify(pattern)} is not a pattern of namespaces`, {
      remedy: 'write database.collection, database.* or database',
    });
  }
  return pattern === '*' || pattern.includes('.') ? pattern : `${pattern}.*`;
}

function expression(pattern: string, star: string): string {
  return pattern.replaceAll(
    /\\(.)|(\*)|([$()+.?[\\\]^{|}/])/gsu,
    (_all, escaped?: string, wildcard?: string, special?: string) => {
      if (wildcard !== undefined) return star;
      const literal = escaped ?? special ?? '';
      return /[$()*+.?[\\\]^{|}/]/u.test(literal) ? `\\${literal}` : literal;
    },
  );
}

/** Gives namespaces another name: {from: "shop.*", to: "shop2.*"}. Both sides have the same number of stars, in the same order. */
export interface Rename {
  from: string;
  to: string;
}

/** The renames as a function; the first that matches counts. @throws BackstayError InvalidPattern */
export function renamer(renames: Rename[] | undefined): (namespace: Namespace) => Namespace {
  const rules = (renames ?? []).map(({ from, to }) => {
    const source = wholeName(from);
    const target = wholeName(to);
    if (starsOf(source) !== starsOf(target)) {
      throw new BackstayError(
        'InvalidPattern',
        `${JSON.stringify(from)} and ${JSON.stringify(to)} have different numbers of stars`,
      );
    }
    return { source: new RegExp(`^${expression(source, '(.*)')}$`, 'su'), target };
  });
  return (namespace) => {
    for (const { source, target } of rules) {
      const match = source.exec(nameOf(namespace));
      if (match === null) continue;
      const stars = match.slice(1);
      const name = target.replaceAll(/\\(.)|\*/gsu, (_all, escaped?: string) => escaped ?? stars.shift() ?? '');
      return parseNamespace(name);
    }
    return namespace;
  };
}

function starsOf(pattern: string): number {
  return pattern.replaceAll(/\\./gsu, '').split('*').length - 1;
}
