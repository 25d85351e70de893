import type { Cause } from '../api/causes.ts';
import type { Kind } from '../api/kinds.ts';
import type { KubeObject, ResourceType } from '../api/meta.ts';
import type { Lookup } from '../api/rules/rule.ts';
import type { ObjectID } from './object-id.ts';
import type { DesiredObject } from './prepare.ts';

type Validate = (kind: Kind, object: KubeObject, lookup: Lookup) => readonly Cause[];

interface Verdict {
  digest: string;
  /** What the rules looked up to come to it, and what it looked like then. */
  reads: readonly Read[];
  causes: readonly Cause[];
}

interface Read {
  type: ResourceType;
  namespace: string | undefined;
  /** None for all of the kind. */
  name: string | undefined;
  print: string;
}

/** What a look-up comes to, in short: another answer has another text. */
export interface Fingerprints {
  get(type: ResourceType, namespace: string | undefined, name: string): string;
  list(type: ResourceType): string;
}

/**
 * Remembers what was said about each object of the last commit, and what it depended on, so that a change of one file does not judge a
 * thousand others again.
 */
export class Verdicts {
  #known: ReadonlyMap<ObjectID, Verdict> = new Map();
  #next = new Map<ObjectID, Verdict>();

  judge(
    { id, digest, object }: DesiredObject,
    validate: Validate,
    lookup: Lookup,
    prints: Fingerprints,
  ): readonly Cause[] {
    const known = this.#known.get(id);
    const isSame = known?.digest === digest && known.reads.every((read) => printOf(read, prints) === read.print);
    const verdict = isSame ? known : judgeAnew(digest, object, validate, lookup, prints);
    this.#next.set(id, verdict);
    return verdict.causes;
  }

  /** The commit is through: what it does not hold is forgotten. */
  done(): void {
    this.#known = this.#next;
    this.#next = new Map();
  }
}

function judgeAnew(
  digest: string,
  object: KubeObject,
  validate: Validate,
  lookup: Lookup,
  prints: Fingerprints,
): Verdict {
  const reads = new Map<string, Read>();
  const note = (type: ResourceType, namespace?: string, name?: string): void => {
    const key = JSON.stringify([type.apiVersion, type.kind, namespace, name]);
    if (reads.has(key)) return;
    const read = { type, namespace, name };
    reads.set(key, { ...read, print: printOf(read, prints) });
  };
  const noting: Lookup = {
    knows: (type) => lookup.knows(type),
    get: (type, namespace, name) => {
      note(type, namespace, name);
      return lookup.get(type, namespace, name);
    },
    list: (type, namespace) => {
      note(type);
      return lookup.list(type, namespace);
    },
  };
  const causes = validate(object.kind as Kind, object, noting);
  return { digest, reads: [...reads.values()], causes };
}

function printOf({ type, namespace, name }: Omit<Read, 'print'>, prints: Fingerprints): string {
  return name === undefined ? prints.list(type) : prints.get(type, namespace, name);
}
