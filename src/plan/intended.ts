import { API_GROUP, API_VERSION } from '../api/group.ts';
import { isRecord } from '../api/json.ts';
import type { KubeObject, ResourceType } from '../api/meta.ts';
import { kindOf } from '../api/validation.ts';
import { rankOf } from '../gitops/order.ts';
import type { Position } from '../gitops/read/node-reader.ts';
import { objectLabel } from '../gitops/read/objects.ts';
import { isSecret, sopsBlock } from '../gitops/sops/admit.ts';
import type { InputFile } from '../validate/files.ts';
import { readWritten, type WrittenObject } from '../validate/objects.ts';
import type { KindsOfCluster } from './kinds-of-cluster.ts';
import type { Complaint, PlannedObject } from './report.ts';

/** An object that is to be applied, and where it was written. */
export interface Intended {
  object: KubeObject;
  type: ResourceType;
  file: string;
  /** Where a field stands, or the nearest of those around it. */
  at(field: string): Position;
  /** Whether fields are taken over from other field managers. */
  force: boolean;
}

export interface IntendedSet {
  /** In the order of reference. */
  intended: Intended[];
  /** What could not even be sent. */
  refused: PlannedObject[];
  problems: Complaint[];
}

/** Reads what files ask for. */
export async function readIntended(
  files: readonly InputFile[],
  { namespace, force, kinds }: { namespace: string; force: boolean; kinds: KindsOfCluster },
): Promise<IntendedSet> {
  const found = new Map<string, Intended>();
  const refused: PlannedObject[] = [];
  const problems: Complaint[] = [];
  for (const input of files) {
    const read = readWritten(input);
    problems.push(...read.findings.map(({ file, line, column, message }) => ({ file, line, column, message })));
    for (const written of read.objects) {
      const refuse = (field: string, message: string): void => {
        refused.push(refusedObject({ ...written, object: nameable(written.object) }, [{ field, message }]));
      };
      if (isSecret(written.object) && sopsBlock(written.object) !== undefined) {
        refused.push(leftOut(written));
        continue;
      }
      const wrong = complaint(written.object);
      if (wrong !== undefined) {
        refuse(...wrong);
        continue;
      }
      const type = await kinds.find(written.object);
      if (type === undefined) {
        refuse(...unserved(written));
        continue;
      }
      const object = placed(written.object, type, namespace);
      const key = `${object.apiVersion} ${objectLabel(object)}`;
      const twin = found.get(key);
      if (twin === undefined) found.set(key, { object, type, file: written.file, at: written.at, force });
      else refuse('metadata.name', `the same object stands at ${twin.file}:${twin.at('').line} too; keep one of them`);
    }
  }
  return { intended: [...found.values()].sort(compareByReference), refused, problems };
}

/** A Secret that only those can read who have the key. */
function leftOut({ object, file, at }: WrittenObject): PlannedObject {
  const reason = 'it is encrypted with SOPS; to plan it too: sops decrypt FILE | backstay plan -';
  const label = objectLabel(nameable(object));
  return { action: 'skip', object: label, file, line: at('').line, causes: [], warnings: [], reason };
}

/** A refusal with the places of the fields that it is about. */
export function refusedObject(
  { object, file, at }: Pick<Intended, 'object' | 'file' | 'at'>,
  causes: readonly { field: string; message: string }[],
): PlannedObject {
  return {
    action: 'refuse',
    object: objectLabel(object),
    file,
    line: at('').line,
    causes: causes.map(({ field, message }) => complaintAt({ file, at }, field, message)),
    warnings: [],
  };
}

export function complaintAt({ file, at }: Pick<Intended, 'file' | 'at'>, field: string, message: string): Complaint {
  return { file, ...at(field), ...(field === '' ? {} : { field }), message };
}

/** What keeps an object from being applied at all, and where. */
function complaint({ apiVersion, kind, metadata }: KubeObject): [field: string, message: string] | undefined {
  if (typeof apiVersion !== 'string') return ['apiVersion', 'it is missing or not text'];
  if (typeof kind !== 'string') return ['kind', 'it is missing or not text'];
  if (apiVersion.startsWith('kustomize.config.k8s.io/'))
    return ['kind', 'a kustomization is built first: kustomize build <folder> | backstay plan -'];
  if (!isRecord(metadata)) return ['metadata', 'it is missing'];
  if (typeof metadata.name !== 'string' || metadata.name === '')
    return ['metadata.name', 'it is missing: only what has a name can be applied'];
  if (metadata.namespace !== undefined && typeof metadata.namespace !== 'string')
    return ['metadata.namespace', 'it is not text; put it in quotes'];
  return undefined;
}

function unserved({ object, ours }: WrittenObject): [field: string, message: string] {
  const { apiVersion, kind } = object;
  const found = ours ? kindOf(object) : undefined;
  if (found !== undefined && 'cause' in found) return ['kind', found.cause.message];
  if (ours && apiVersion !== API_VERSION) return ['apiVersion', `${apiVersion} is not served; write ${API_VERSION}`];
  const remedy = ours ? `install the CRDs of ${API_GROUP} first` : 'what defines it must be installed first';
  return ['kind', `the cluster serves no ${kind} of ${apiVersion}; ${remedy}`];
}

function placed(object: KubeObject, type: ResourceType, namespace: string): KubeObject {
  const { metadata } = object;
  const { namespace: written, ...others } = metadata;
  if (!type.namespaced) return written === undefined ? object : { ...object, metadata: others };
  return written === undefined ? { ...object, metadata: { ...metadata, namespace } } : object;
}

/** The object with only those parts of its name that can be shown. */
function nameable({ apiVersion, kind, metadata }: KubeObject): KubeObject {
  const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
  const known: Record<string, unknown> = isRecord(metadata) ? metadata : {};
  const [name, namespace] = [text(known.name) ?? text(known.generateName), text(known.namespace)];
  return {
    apiVersion: text(apiVersion) ?? '',
    kind: text(kind) ?? 'object',
    metadata: { ...(name === undefined ? {} : { name }), ...(namespace === undefined ? {} : { namespace }) },
  };
}

/** Namespaces, what others define, and then Backstay's own kinds in the order of reference. */
function compareByReference(a: Intended, b: Intended): number {
  return placeOf(a) - placeOf(b);
}

function placeOf({ object: { apiVersion, kind } }: Intended): number {
  if (apiVersion === API_VERSION) return rankOf(kind);
  return apiVersion === 'v1' && kind === 'Namespace' ? -2 : -1;
}
