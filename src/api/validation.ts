import { type Cause, quote } from './causes.ts';
import { applyDefaults } from './defaults.ts';
import { schemas } from './generated/schemas.js';
import * as validators from './generated/validators.js';
import { isRecord, nestsTooDeeply } from './json.ts';
import { KINDS, type Kind } from './kinds.ts';
import { checkMetadata } from './metadata.ts';
import type { Schema, Validator } from './schema.ts';
import { checkStructure, pruned } from './structure.ts';
import { didYouMean } from './suggest.ts';
import { wordComplaint } from './wording.ts';

const VALIDATORS: Readonly<Record<Kind, Validator>> = {
  Addon: validators.validateAddon,
  AppBinding: validators.validateAppBinding,
  BackupConfiguration: validators.validateBackupConfiguration,
  BackupPolicyRule: validators.validateBackupPolicyRule,
  BackupSession: validators.validateBackupSession,
  BackupStorage: validators.validateBackupStorage,
  Function: validators.validateFunction,
  PolicySync: validators.validatePolicySync,
  Repository: validators.validateRepository,
  RestoreSession: validators.validateRestoreSession,
  RetentionPolicy: validators.validateRetentionPolicy,
  Snapshot: validators.validateSnapshot,
};

// A request of 3 MB can be wrong in a hundred thousand places; nobody reads on after a few.
const MOST_CAUSES = 200;

/** Fields of an object beside those of its schema. */
const ENVELOPE = ['apiVersion', 'kind', 'metadata'];

/** What a schema says of an object. */
export interface SchemaVerdict {
  causes: Cause[];
  /** The object as the API server would look at it further: nulls pruned, defaults filled in. Undefined when it cannot be looked at. */
  object: unknown;
}

/**
 * Everything that the schema of a kind, and the API server itself, have against an object; what CEL rules and other objects say is
 * `review`'s part. Fields that no schema knows are causes here, which the API server says only to those who ask strictly.
 */
export function validateSchema(kind: Kind, object: unknown): SchemaVerdict {
  if (!isRecord(object)) {
    return {
      causes: [{ field: '', reason: 'FieldValueTypeInvalid', message: 'it must be a map of fields' }],
      object: undefined,
    };
  }
  if (nestsTooDeeply(object)) {
    return {
      causes: [{ field: '', reason: 'FieldValueInvalid', message: 'it is nested too deeply' }],
      object: undefined,
    };
  }
  const schema = schemas[kind];
  const whole = applyDefaults(kind, pruned(schema, object)) as Record<string, unknown>;
  const body = Object.fromEntries(Object.entries(whole).filter(([key]) => !ENVELOPE.includes(key)));
  const validate = VALIDATORS[kind];
  const complaints = validate(body) ? [] : (validate.errors ?? []).slice(0, MOST_CAUSES);
  const causes = [
    ...checkMetadata(kind, object).slice(0, MOST_CAUSES),
    ...complaints.map((complaint) => wordComplaint(schema, body, complaint)),
    ...checkStructure(schema, body, '', MOST_CAUSES),
  ];
  return { causes, object: whole };
}

/** The kind of an object that claims to be one of Backstay's, or why it is none. */
export function kindOf(object: unknown): { kind: Kind } | { cause: Cause } {
  const name = isRecord(object) ? object.kind : undefined;
  if (typeof name === 'string' && Object.hasOwn(KINDS, name)) return { kind: name as Kind };
  const hint = typeof name === 'string' ? didYouMean(name, Object.keys(KINDS)) : '';
  const message = `${typeof name === 'string' ? name : quote(name)} is no kind of Backstay${hint}`;
  return { cause: { field: 'kind', reason: 'FieldValueNotSupported', message } };
}

/** The schema of a kind, references resolved, without descriptions. */
export function schemaOfKind(kind: Kind): Schema {
  return schemas[kind];
}
