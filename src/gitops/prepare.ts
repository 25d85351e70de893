import { createHash } from 'node:crypto';
import { API_GROUP, API_VERSION } from '../api/group.ts';
import { canonical, isRecord, sameValue } from '../api/json.ts';
import { KINDS, type Kind } from '../api/kinds.ts';
import type { KubeObject, ResourceType } from '../api/meta.ts';
import { kindOf } from '../api/validation.ts';
import { Secrets } from '../kube/builtin.ts';
import { type ObjectID, objectID } from './object-id.ts';
import { whyNotAllowed } from './order.ts';
import { POLICY_SYNC_LABEL } from './ownership.ts';
import { type Failure, failureAt, type SourceObject } from './read/objects.ts';
import { checkEncrypted, isSecret, refuseBlock, sopsBlock } from './sops/admit.ts';
import type { Encrypted } from './sops/secrets.ts';
import { isEncrypted } from './sops/value.ts';

/** An object as it is applied: with its namespace and the mark of its PolicySync, and where it was written. */
export interface DesiredObject extends SourceObject {
  readonly id: ObjectID;
  readonly type: ResourceType;
  /** Of the object as it is applied, `sha256:` and 32 hexadecimal digits. */
  readonly digest: string;
  /** Of a Secret: what is decrypted just before it is applied. `object` is encrypted until then, and so is what the digest is of. */
  readonly encrypted?: Encrypted;
}

/** What an object is prepared with. */
export interface PrepareOptions {
  /** The mark of the PolicySync, see `markOf`. */
  mark: string;
  /** Namespace of objects that name none. */
  namespace: string;
  /** Whether Secrets are taken that are encrypted with SOPS; none are, unless given. */
  decryption?: boolean;
}

/** One object of a commit, looked at by itself; without `desired` it is of a kind that has no place in a repository. */
export interface Prepared {
  readonly desired: DesiredObject | undefined;
  readonly failures: readonly Failure[];
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

/** Prepares objects, and remembers those of the last commit: an object of a file that is the same is the same object. */
export class Preparations {
  #known = new WeakMap<SourceObject, Prepared>();
  #options = '';

  /** Prepares the objects of a commit, in their order. */
  prepareAll(sources: readonly SourceObject[], options: PrepareOptions): Prepared[] {
    const { mark, namespace, decryption = false } = options;
    const key = JSON.stringify([mark, namespace, decryption]);
    if (key !== this.#options) this.#known = new WeakMap();
    this.#options = key;
    const encrypted = encryptedByFile(sources);
    return sources.map((written) => {
      const prepared = this.#known.get(written) ?? prepare(written, options, encrypted);
      this.#known.set(written, prepared);
      return prepared;
    });
  }
}

function prepare(written: SourceObject, options: PrepareOptions, encrypted: EncryptedByFile): Prepared {
  const kind = allowedKind(written, options.decryption === true);
  if (typeof kind === 'object') return { desired: undefined, failures: [kind] };
  const failures = checkEnvelope(written);
  if (kind === 'Secret')
    failures.push(...checkEncrypted(written.object).map(({ field, message }) => failureAt(written, field, message)));
  const type = kind === 'Secret' ? Secrets : KINDS[kind];
  const object = applicable(written.object, type, options);
  const desired = {
    object,
    source: written.source,
    id: objectID(object),
    type,
    digest: digestOf(object),
    ...(kind === 'Secret' ? { encrypted: encryptedOf(written, encrypted) } : {}),
  };
  return { desired, failures };
}

/** The digest of an object: the same for the same content, whatever the order of its fields. */
function digestOf(object: KubeObject): string {
  return `sha256:${createHash('sha256').update(canonical(object)).digest('hex').slice(0, DIGEST_LENGTH)}`;
}

type EncryptedByFile = ReadonlyMap<string, readonly KubeObject[]>;

/** The objects with a sops block by their file: a MAC is one for all documents of a file. */
function encryptedByFile(sources: readonly SourceObject[]): EncryptedByFile {
  const found = sources.filter(({ object, written }) => written === undefined && sopsBlock(object) !== undefined);
  const byFile = Map.groupBy(found, ({ source }) => source.file);
  return new Map([...byFile].map(([file, all]) => [file, all.map(({ object }) => object)]));
}

function encryptedOf({ object, source, written }: SourceObject, byFile: EncryptedByFile): Encrypted {
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

/** An object as it is applied. */
function applicable(object: KubeObject, type: ResourceType, { mark, namespace }: PrepareOptions): KubeObject {
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
