import type { Cause, Verdict } from './causes.ts';
import type { BackstayObject } from './generated/types.ts';
import { canonical, isRecord, nestsTooDeeply, valueAt } from './json.ts';
import type { Kind } from './kinds.ts';
import type { ObjectMeta } from './meta.ts';
import { judgeAddon } from './rules/addon.ts';
import { judgeAppBinding } from './rules/appbinding.ts';
import { judgeBackupConfiguration } from './rules/backupconfiguration.ts';
import { judgeBackupSession } from './rules/backupsession.ts';
import { judgeBackupStorage } from './rules/backupstorage.ts';
import { checkCelRules } from './rules/cel.ts';
import { judgeFunction } from './rules/function.ts';
import { judgePolicySync } from './rules/policysync.ts';
import { judgeRepository } from './rules/repository.ts';
import { judgeRestoreSession } from './rules/restoresession.ts';
import { judgeRetentionPolicy } from './rules/retentionpolicy.ts';
import { type Lookup, NOTHING_KNOWN, type Rule } from './rules/rule.ts';
import { judgeSnapshot } from './rules/snapshot.ts';
import { soundLookup } from './sound-lookup.ts';
import { soundParts } from './structure.ts';
import { schemaOfKind, validateSchema } from './validation.ts';

const RULES: { readonly [K in Kind]: Rule<Extract<BackstayObject, { kind: K }>> } = {
  Addon: judgeAddon,
  AppBinding: judgeAppBinding,
  BackupConfiguration: judgeBackupConfiguration,
  BackupSession: judgeBackupSession,
  BackupStorage: judgeBackupStorage,
  Function: judgeFunction,
  PolicySync: judgePolicySync,
  Repository: judgeRepository,
  RestoreSession: judgeRestoreSession,
  RetentionPolicy: judgeRetentionPolicy,
  Snapshot: judgeSnapshot,
};

/** What a review looks at besides the object. */
export interface ReviewOptions {
  /** The object before the change. What was wrong with it already is not held against the change. */
  old?: unknown;
  /** Other objects; without it only the object itself is judged. */
  lookup?: Lookup;
  /** Namespace of an object that names none. */
  namespace?: string;
  now?: Date;
}

/** A verdict that tells the complaints of the schema, which the API server raises as well, from those of the rules. */
export interface Review extends Verdict {
  /** Whether the schema itself has something against the object. */
  schemaFails: boolean;
}

/**
 * Everything that there is to say about an object: its schema, its CEL rules and the rules of its kind. The same verdict is given by the
 * webhook, the operator before it acts, PolicySync and `backstay validate`. An object that is being deleted passes.
 */
export function review(kind: Kind, object: unknown, options: ReviewOptions = {}): Review {
  if (metadataOf(object).deletionTimestamp !== undefined) return { causes: [], warnings: [], schemaFails: false };
  const { old } = options;
  const fresh = judge(kind, object, options);
  // What cannot be looked at as a whole cannot be compared either.
  const comparable = fresh.causes.every((cause) => cause.field !== '');
  if (old === undefined || fresh.causes.length === 0 || !comparable || nestsTooDeeply(old)) {
    const { schemaCauses: _, ...verdict } = fresh;
    return verdict;
  }
  const { old: _old, ...alone } = options;
  const stale = new Set(judge(kind, old, alone).causes.map((cause) => identityOf(cause, old)));
  const causes = fresh.causes.filter((cause) => !stale.has(identityOf(cause, object)));
  const schemaFails = causes.some((cause) => fresh.schemaCauses.includes(cause));
  return { causes, warnings: fresh.warnings, schemaFails };
}

interface Judgement extends Review {
  schemaCauses: Cause[];
}

function judge(kind: Kind, object: unknown, options: ReviewOptions): Judgement {
  const { causes: schemaCauses, object: whole } = validateSchema(kind, object);
  const verdict = judgeParts(kind, whole, options);
  const cel = verdict.cel.filter((cause) => !followsFrom(schemaCauses, cause));
  const others = [...cel, ...verdict.causes].filter((cause) => !isSaid(schemaCauses, cause));
  return {
    causes: [...schemaCauses, ...others],
    warnings: verdict.warnings,
    schemaFails: schemaCauses.length > 0,
    schemaCauses,
  };
}

function judgeParts(kind: Kind, whole: unknown, options: ReviewOptions): Verdict & { cel: Cause[] } {
  const schema = schemaOfKind(kind);
  const sound = soundParts(schema, whole);
  if (!isRecord(sound) || sound.spec === undefined) return { causes: [], warnings: [], cel: [] };
  const metadata = metadataOf(whole);
  const old = options.old === undefined ? undefined : soundParts(schema, validateSchema(kind, options.old).object);
  const rule = RULES[kind] as unknown as Rule<unknown>;
  const verdict = rule({
    object: sound,
    old,
    namespace: metadata.namespace ?? options.namespace ?? '',
    name: metadata.name ?? '',
    lookup: options.lookup === undefined ? NOTHING_KNOWN : soundLookup(options.lookup),
    now: options.now ?? new Date(),
  });
  return { causes: verdict.causes, warnings: verdict.warnings, cel: checkCelRules(schema, sound, old, '') };
}

/** Whether the schema has said the same of a field already, in other words. */
function isSaid(schemaCauses: readonly Cause[], { field }: Cause): boolean {
  return schemaCauses.some((cause) => cause.field === field);
}

/** Whether a CEL rule misses a field only because the schema refuses what stands there. */
function followsFrom(schemaCauses: readonly Cause[], { field }: Cause): boolean {
  const reasons = ['FieldValueTypeInvalid', 'FieldValueRequired', 'FieldValueNotSupported'];
  return schemaCauses.some((cause) => {
    const child = cause.field.startsWith(`${field}.`) ? cause.field.slice(field.length + 1) : undefined;
    return child !== undefined && /^\w+$/.test(child) && reasons.includes(cause.reason);
  });
}

/** What makes a cause the same one before and after a change: where it is, what it says, and the value that it is about. */
function identityOf({ field, reason, message }: Cause, object: unknown): string {
  return canonical([stablePath(field, object), reason, message, valueAt(object, segments(field)) ?? null]);
}

/** A path whose indexes are replaced by the names of the items, so that it survives a change of their order. */
function stablePath(field: string, object: unknown): string {
  const path = segments(field);
  return path
    .map((segment, index) => {
      const item = typeof segment === 'number' ? valueAt(object, path.slice(0, index + 1)) : undefined;
      return isRecord(item) && typeof item.name === 'string' ? `name=${item.name}` : String(segment);
    })
    .join('\n');
}

function segments(field: string): (string | number)[] {
  return [...field.matchAll(/\[(\d+)\]|\[([^\]]*)\]|([^.[\]]+)/g)].map(([, index, key, word]) =>
    index === undefined ? (key ?? word ?? '') : Number(index),
  );
}

function metadataOf(object: unknown): ObjectMeta {
  const metadata = isRecord(object) ? object.metadata : undefined;
  if (!isRecord(metadata)) return {};
  // Only what is text is read of it here.
  return Object.fromEntries(Object.entries(metadata).filter(([, value]) => typeof value === 'string'));
}
