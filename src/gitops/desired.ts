import { createHash } from 'node:crypto';
import type { Cause } from '../api/causes.ts';
import { API_VERSION } from '../api/group.ts';
import type { Kind } from '../api/kinds.ts';
import type { KubeObject, ResourceType } from '../api/meta.ts';
import type { Lookup } from '../api/rules/rule.ts';
import { type ObjectID, objectID } from './object-id.ts';
import { type DesiredObject, Preparations, type PrepareOptions } from './prepare.ts';
import { type Failure, failureAt, type SourceObject } from './read/objects.ts';
import { type Fingerprints, Verdicts } from './verdicts.ts';

export interface DesiredOptions extends PrepareOptions {
  /** What is wrong with an object of a kind, beyond its form. */
  validate: (kind: Kind, object: KubeObject, lookup: Lookup) => readonly Cause[];
  /** What was said about the commit before; nothing, unless given. */
  verdicts?: Verdicts | undefined;
  /** The objects of the commit before; none, unless given. */
  preparations?: Preparations | undefined;
}

/** More than anybody is shown. */
const ENOUGH_FAILURES = 1000;

/**
 * The objects of a commit as they should be in the cluster, and everything that is wrong with them; with any failure, nothing may be
 * applied.
 */
export function desiredObjects(
  sources: readonly SourceObject[],
  options: DesiredOptions,
): { objects: DesiredObject[]; failures: Failure[] } {
  const failures: Failure[] = [];
  const objects = new Map<ObjectID, DesiredObject>();
  const unchecked: DesiredObject[] = [];
  const preparations = options.preparations ?? new Preparations();
  for (const { desired, failures: own } of preparations.prepareAll(sources, options)) {
    failures.push(...own);
    if (desired === undefined) continue;
    const twin = objects.get(desired.id);
    if (twin !== undefined) {
      const place = `${twin.source.file}:${twin.source.line}`;
      failures.push(failureAt(desired, 'metadata.name', `The same object stands at ${place} too; keep one of them`));
      continue;
    }
    objects.set(desired.id, desired);
    if (own.length === 0 && desired.encrypted === undefined) unchecked.push(desired);
  }
  // Only now, because an object is judged together with those that it refers to.
  const lookup = lookupIn(objects);
  const prints = fingerprintsOf(objects);
  const verdicts = options.verdicts ?? new Verdicts();
  for (const desired of unchecked) {
    // A few files can be wrong in millions of ways: each with each other.
    if (failures.length > ENOUGH_FAILURES) break;
    const causes = verdicts.judge(desired, options.validate, lookup, prints);
    failures.push(...causes.map(({ field, message }) => failureAt(desired, field, message)));
  }
  verdicts.done();
  return { objects: [...objects.values()], failures };
}

function fingerprintsOf(objects: ReadonlyMap<ObjectID, DesiredObject>): Fingerprints {
  const lists = new Map<string, string>();
  return {
    get: ({ apiVersion, kind }, namespace, name) =>
      objects.get(objectID({ apiVersion, kind, metadata: { name, ...(namespace === undefined ? {} : { namespace }) } }))
        ?.digest ?? '',
    list: ({ kind }) => {
      const known = lists.get(kind);
      if (known !== undefined) return known;
      const hash = createHash('sha256');
      for (const { id, digest, type } of objects.values()) if (type.kind === kind) hash.update(`${id} ${digest}\n`);
      const print = hash.digest('base64');
      lists.set(kind, print);
      return print;
    },
  };
}

/**
 * The objects of one commit, as a validator looks them up. What is not among them may well be in the cluster, so nothing is known to be
 * missing.
 */
function lookupIn(objects: ReadonlyMap<ObjectID, DesiredObject>): Lookup {
  const byKind = Map.groupBy(
    [...objects.values()].map(({ object }) => object),
    ({ kind }) => kind,
  );
  return {
    knows: () => false,
    get: <T extends KubeObject>(type: ResourceType<T>, namespace: string | undefined, name: string): T | undefined => {
      const metadata = { name, ...(namespace === undefined ? {} : { namespace }) };
      if (type.apiVersion !== API_VERSION) return undefined;
      return objects.get(objectID({ apiVersion: API_VERSION, kind: type.kind, metadata }))?.object as T | undefined;
    },
    list: <T extends KubeObject>(type: ResourceType<T>, namespace?: string): readonly T[] => {
      const all = type.apiVersion === API_VERSION ? (byKind.get(type.kind) ?? []) : [];
      return all.filter(({ metadata }) => namespace === undefined || metadata.namespace === namespace) as T[];
    },
  };
}
