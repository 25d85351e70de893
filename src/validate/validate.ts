import { defaultBackends } from '../api/backends.ts';
import type { CauseReason } from '../api/causes.ts';
import type { BackupConfiguration } from '../api/generated/types.ts';
import { isRecord } from '../api/json.ts';
import { isKind, KINDS, type Kind } from '../api/kinds.ts';
import type { KubeObject, ResourceType } from '../api/meta.ts';
import { review } from '../api/review.ts';
import { judgeDeletion } from '../api/rules/deletion.ts';
import type { Draft, Lookup } from '../api/rules/rule.ts';
import { soundLookup } from '../api/sound-lookup.ts';
import { soundParts } from '../api/structure.ts';
import { kindOf, schemaOfKind } from '../api/validation.ts';
import type { InputFile } from './files.ts';
import { type Named, ObjectSet } from './object-set.ts';
import { readWritten, type WrittenObject } from './objects.ts';
import type { Finding, Report } from './report.ts';

/** How a set of files is judged. */
export interface ValidateOptions {
  /** Namespace of objects that name none. */
  namespace: string;
  /** Whether the files hold all that there is: a reference to what they do not hold is a warning then. */
  complete: boolean;
  /** The files before the change: what is in both is judged as an update, and what is only there as a deletion. */
  before?: readonly InputFile[] | undefined;
  /** Files with BackupPolicyRules that hold beside those of the set, and with Namespaces that rules choose by their labels. */
  rules?: readonly InputFile[] | undefined;
  now: Date;
}

/** Judges every object of Backstay in a set of files as the webhook would, each beside the others of the set. */
export function validateFiles(files: readonly InputFile[], options: ValidateOptions): Report {
  const set = readSet(files, options);
  const before = options.before === undefined ? undefined : readSet(options.before, options);
  const findings = [
    ...set.findings,
    ...addRules(options, set.lookup, ...(before === undefined ? [] : [before.lookup])),
  ];
  for (const written of set.objects) findings.push(...judge(written, set.lookup, before?.lookup, options));
  for (const written of before?.objects ?? []) findings.push(...judgeRemoval(written, set.lookup));
  return { findings, files: files.length, objects: set.objects.length, others: set.others };
}

interface Objects {
  objects: WrittenObject[];
  lookup: ObjectSet;
  findings: Finding[];
  others: number;
}

// What may stand in files of rules; the rest of them is not what is to be judged.
const OF_RULES = ['BackupPolicyRule', 'Namespace'];

/** Adds the rules to sets. @returns what is wrong with them: a rule that is none would look as if it were kept */
function addRules(options: ValidateOptions, ...sets: ObjectSet[]): Finding[] {
  const { rules = [] } = options;
  const read = readSet(rules, options);
  for (const file of rules) {
    for (const { object } of readWritten(file).objects) {
      if (!OF_RULES.includes(String(object.kind)) || !isNamed(object)) continue;
      for (const set of sets) set.add(object);
    }
  }
  const own = read.objects.filter(({ object }) => object.kind === 'BackupPolicyRule');
  return [...read.findings, ...own.flatMap((written) => judge(written, read.lookup, undefined, options))];
}

function readSet(files: readonly InputFile[], { namespace, complete }: ValidateOptions): Objects {
  const lookup = new ObjectSet(complete);
  const places = new Map<KubeObject, WrittenObject>();
  const objects: WrittenObject[] = [];
  const findings: Finding[] = [];
  let others = 0;
  for (const file of files) {
    const read = readWritten(file);
    findings.push(...read.findings);
    for (const found of read.objects) {
      const written = { ...found, object: placed(found.object, namespace) };
      const twin = isNamed(written.object) ? lookup.add(written.object) : undefined;
      if (!written.ours) {
        others++;
        continue;
      }
      objects.push(written);
      places.set(written.object, written);
      const other = twin === undefined ? undefined : places.get(twin);
      if (other === undefined) continue;
      const message = `the same object stands at ${other.file}:${other.at('').line} too; keep one of them`;
      findings.push(finding(written, 'error', 'metadata.name', 'FieldValueDuplicate', message));
    }
  }
  return { objects, lookup, findings, others };
}

/** Whether an object has what others look it up by. */
function isNamed(object: KubeObject): object is Named {
  const { apiVersion, kind, metadata } = object;
  const name = isRecord(metadata) ? metadata.name : undefined;
  const namespace = isRecord(metadata) ? (metadata.namespace ?? '') : undefined;
  return [apiVersion, kind, name, namespace].every((part) => typeof part === 'string');
}

/** The object in the namespace that it would be created in. */
function placed(object: KubeObject, namespace: string): KubeObject {
  const { kind, metadata } = object;
  const clusterWide = typeof kind === 'string' && isKind(kind) && !KINDS[kind].namespaced;
  if (!isRecord(metadata) || metadata.namespace !== undefined || clusterWide || kind === 'Namespace') return object;
  return { ...object, metadata: { ...metadata, namespace } };
}

function judge(
  written: WrittenObject,
  lookup: Lookup,
  before: ObjectSet | undefined,
  { namespace, now }: ValidateOptions,
): Finding[] {
  const found = kindOf(written.object);
  if ('cause' in found) return [finding(written, 'error', 'kind', found.cause.reason, found.cause.message)];
  const { kind } = found;
  const object = kind === 'BackupConfiguration' ? withBackends(written.object, namespace, lookup) : written.object;
  const { metadata } = object;
  const home = isRecord(metadata) ? textOf(metadata.namespace) : undefined;
  const name = isRecord(metadata) ? textOf(metadata.name) : undefined;
  const old = name === undefined ? undefined : before?.get(typeOf(kind), home, name);
  const options = { lookup, namespace: home ?? namespace, now, ...(old === undefined ? {} : { old }) };
  const { causes, warnings } = review(kind, object, options);
  return [
    ...causes.map(({ field, reason, message }) => finding(written, 'error', field, reason, message)),
    ...warnings.map((warning) => warningOf(written, warning)),
  ];
}

/** The configuration with the backends that the mutating webhook would give it. */
function withBackends(object: KubeObject, home: string, lookup: Lookup): KubeObject {
  const { spec } = object as { spec?: unknown };
  if (!isRecord(spec) || Object.hasOwn(spec, 'backends')) return object;
  const sound = soundParts(schemaOfKind('BackupConfiguration'), object) as Draft<BackupConfiguration>;
  const namespace = (isRecord(object.metadata) && textOf(object.metadata.namespace)) || home;
  const backends = defaultBackends(sound, namespace, soundLookup(lookup));
  return backends === undefined ? object : ({ ...object, spec: { ...spec, backends } } as KubeObject);
}

function judgeRemoval(written: WrittenObject, after: ObjectSet): Finding[] {
  const { object } = written;
  const found = kindOf(object);
  if ('cause' in found || !isRecord(object.metadata)) return [];
  const { name, namespace } = object.metadata;
  if (typeof name !== 'string' || after.get(typeOf(found.kind), textOf(namespace), name) !== undefined) return [];
  const { causes, warnings } = judgeDeletion({
    kind: found.kind,
    object,
    namespace: textOf(namespace) ?? '',
    lookup: after,
  });
  return [
    ...causes.map(({ field, reason, message }) => finding(written, 'error', field, reason, message)),
    ...warnings.map((warning) => warningOf(written, warning)),
  ];
}

function typeOf(kind: Kind): ResourceType {
  return KINDS[kind];
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** A warning begins with the field that it is about, when it is about one. */
function warningOf(written: WrittenObject, warning: string): Finding {
  const field = /^(?:spec|metadata)[^\s:]*/.exec(warning)?.[0] ?? '';
  return finding(written, 'warning', field, 'Warning', warning);
}

function finding(
  written: WrittenObject,
  level: Finding['level'],
  field: string,
  reason: CauseReason | 'Warning',
  message: string,
): Finding {
  const { line, column } = written.at(field);
  const place = { level, file: written.file, line, column, object: labelOf(written.object) };
  return { ...place, ...(field === '' ? {} : { field }), reason, message };
}

function labelOf(object: KubeObject): string {
  const metadata: Record<string, unknown> = isRecord(object.metadata) ? object.metadata : {};
  const parts: unknown[] = [object.kind, metadata.namespace, metadata.name ?? metadata.generateName];
  return parts.filter((part) => typeof part === 'string' && part !== '').join('/');
}
