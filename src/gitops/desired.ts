import { createHash } from 'node:crypto';
import type { Cause } from '../api/causes.ts';
import { API_GROUP, API_VERSION } from '../api/group.ts';
import { canonical, isRecord, sameValue } from '../api/json.ts';
import { KINDS, type Kind } from '../api/kinds.ts';
import type { KubeObject, ResourceType } from '../api/meta.ts';
import type { Lookup } from '../api/rules/rule.ts';
import { kindOf } from '../api/validation.ts';
import { Secrets } from '../kube/builtin.ts';
import { type ObjectID, objectID } from './object-id.ts';
import { whyNotAllowed } from './order.ts';
import { POLICY_SYNC_LABEL } from './ownership.ts';
import { type Failure, failureAt, type SourceObject } from './read/objects.ts';
import { checkEncrypted, isSecret, refuseBlock, sopsBlock } from './sops/admit.ts';
import type { Encrypted } from './sops/secrets.ts';
import { isEncrypted } from './sops/value.ts';
import { type Fingerprints, Verdicts } from './verdicts.ts';

/** An object as it is applied: with its namespace and the mark of its PolicySync, and where it was written. */
export interface DesiredObject extends SourceObject {
  readonly id: ObjectID;
  readonly type: ResourceType;
  /** Of the object as it is applied, `sha256:` and 32 hexadecimal digits. */
  readonly digest: string;
  /** Of a Secret: what is decrypted just before it is applied. `object` is encrypted until then, and so is what the digest is of. */
  readonly encrypted?: Encrypted;
}

export interface DesiredOptions {
  /** The mark of the PolicySync, see `markOf`. */
  mark: string;
  /** Namespace of objects that name none. */
  namespace: string;
  /** Whether Secrets are taken that are encrypted with SOPS; none are, unless given. */
  decryption?: boolean;
  /** What is wrong with an object of a kind, beyond its form. */
  validate: (kind: Kind, object: KubeObject, lookup: Lookup) => readonly Cause[];
  /** What was said about the commit before; nothing, unless given. */
  verdicts?: Verdicts | undefined;
}

// What the server keeps, or what would make the object somebody else's.
const FOREIGN_METADATA = [
  'uid',
  'resourceVersion',
  'generation',
  'managedFields',
  'selfLink',
  'ownerReferences',
  'finalizers',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'generateName',
];
const DIGEST_LENGTH = 32;
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
  const encrypted = encryptedByFile(sources);
  for (const written of sources) {
    const kind = allowedKind(written, options.decryption === true);
    if (typeof kind === 'object') {
      failures.push(kind);
      continue;
    }
    const envelope = checkEnvelope(written);
    if (kind === 'Secret')
      envelope.push(...checkEncrypted(written.object).map(({ field, message }) => failureAt(written, field, message)));
    failures.push(...envelope);
    const type = kind === 'Secret' ? Secrets : KINDS[kind];
    const object = prepare(written.object, type, options);
    const desired = {
      object,
      source: written.source,
      id: objectID(object),
      type,
      digest: digestOf(object),
      ...(kind === 'Secret' ? { encrypted: encryptedOf(written, encrypted) } : {}),
    };
    const twin = objects.get(desired.id);
    if (twin !== undefined) {
      const place = `${twin.source.file}:${twin.source.line}`;
      failures.push(failureAt(desired, 'metadata.name', `The same object stands at ${place} too; keep one of them`));
      continue;
    }
    objects.set(desired.id, desired);
    if (envelope.length === 0 && kind !== 'Secret') unchecked.push(desired);
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

/** The digest of an object: the same for the same content, whatever the order of its fields. */
export function digestOf(object: KubeObject): string {
  return `sha256:${createHash('sha256').update(canonical(object)).digest('hex').slice(0, DIGEST_LENGTH)}`;
}

/** The objects with a sops block by their file: a MAC is one for all documents of a file. */
function encryptedByFile(sources: readonly SourceObject[]): ReadonlyMap<string, readonly KubeObject[]> {
  const found = sources.filter(({ object, written }) => written === undefined && sopsBlock(object) !== undefined);
  const byFile = Map.groupBy(found, ({ source }) => source.file);
  return new Map([...byFile].map(([file, all]) => [file, all.map(({ object }) => object)]));
}

function encryptedOf(
  { object, source, written }: SourceObject,
  byFile: ReadonlyMap<string, readonly KubeObject[]>,
): Encrypted {
  const own = written?.own ?? object;
  const block = sopsBlock(own);
  const file = written?.file ?? byFile.get(source.file) ?? [];
  return { own, documents: file.filter((one) => sameValue(sopsBlock(one), block)) };
}

function allowedKind(written: SourceObject, decryption: boolean): Kind | 'Secret' | Failure {
  const { apiVersion, kind } = written.object;
  const block = refuseBlock(written.object);
  if (block !== undefined) {
    const failure = failureAt(written, block.field, block.message);
    // A name that is encrypted names nothing.
    if (isEncrypted(kind)) delete failure.object;
    return failure;
  }
  const secret = isSecret(written.object);
  if (secret && decryption) return 'Secret';
  const remedy = secret
    ? 'set spec.decryption for Secrets that are encrypted with SOPS, or move it out of spec.path'
    : 'move it out of spec.path';
  if (apiVersion.split('/')[0] !== API_GROUP || !apiVersion.includes('/')) {
    return failureAt(
      written,
      'apiVersion',
      `${kind} of ${apiVersion} cannot stand here: a policy repository holds objects of ${API_GROUP} only; ${remedy}`,
    );
  }
  if (apiVersion !== API_VERSION)
    return failureAt(written, 'apiVersion', `${apiVersion} is not served; write ${API_VERSION}`);
  const found = kindOf(written.object);
  if ('cause' in found) return failureAt(written, found.cause.field, found.cause.message);
  const reason = whyNotAllowed(found.kind);
  return reason === undefined ? found.kind : failureAt(written, 'kind', reason);
}

/** What an object in git has no business to say. */
function checkEnvelope(written: SourceObject): Failure[] {
  const metadata = written.object.metadata as unknown as Record<string, unknown>;
  const failures = FOREIGN_METADATA.filter((field) => metadata[field] !== undefined).map((field) =>
    failureAt(written, `metadata.${field}`, `metadata.${field} is not for git to say; remove it`),
  );
  if (metadata.creationTimestamp !== undefined && metadata.creationTimestamp !== null) {
    failures.push(
      failureAt(written, 'metadata.creationTimestamp', 'metadata.creationTimestamp is not for git to say; remove it'),
    );
  }
  const { status } = written.object as KubeObject & { status?: unknown };
  if (status !== undefined && status !== null && !(isRecord(status) && Object.keys(status).length === 0)) {
    failures.push(failureAt(written, 'status', 'status is written by Backstay, not by git; remove it'));
  }
  return failures;
}

function prepare(object: KubeObject, type: ResourceType, { mark, namespace }: DesiredOptions): KubeObject {
  const { status: _status, metadata, ...rest } = object as KubeObject & { status?: unknown };
  const { creationTimestamp: _time, labels, namespace: written, ...others } = metadata;
  const home = type.namespaced ? (written ?? namespace) : written;
  return {
    ...rest,
    metadata: {
      ...others,
      ...(home === undefined ? {} : { namespace: home }),
      labels: { ...labels, [POLICY_SYNC_LABEL]: mark },
    },
  };
}
