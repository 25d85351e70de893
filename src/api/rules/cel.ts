import { type Cause, joinPath } from '../causes.ts';
import { isRecord, sameValue } from '../json.ts';
import type { Schema } from '../schema.ts';
import { schemaOf } from '../structure.ts';

type Self = Record<string, unknown>;

/** Whether a rule holds for a value, and the one before it when the rule compares the two. */
type Predicate = (self: Self, oldSelf: Self) => boolean;

const has = (self: Self, key: string): boolean => Object.hasOwn(self, key);
const count = (self: Self, ...keys: string[]): number => keys.filter((key) => has(self, key)).length;
const phaseOf = (self: Self): unknown => (isRecord(self.status) ? self.status.phase : undefined);

/** The CEL rules of schemas/ by their text, so that what is judged without an API server is judged alike. */
export const CEL_RULES: Readonly<Record<string, Predicate>> = {
  'self == oldSelf': (self, old) => sameValue(self, old),
  'self.path == oldSelf.path': (self, old) => sameValue(self.path, old.path),
  'self.encryptionSecret == oldSelf.encryptionSecret': (self, old) =>
    sameValue(self.encryptionSecret, old.encryptionSecret),
  'self.storageRef == oldSelf.storageRef': (self, old) => sameValue(self.storageRef, old.storageRef),
  'self.snapshotID == oldSelf.snapshotID': (self, old) => self.snapshotID === old.snapshotID,
  'self.repository == oldSelf.repository': (self, old) => self.repository === old.repository,
  "!has(oldSelf.status) || !has(oldSelf.status.phase) || oldSelf.status.phase == 'Pending' || self.spec == oldSelf.spec":
    (self, old) => phaseOf(old) === undefined || phaseOf(old) === 'Pending' || sameValue(self.spec, old.spec),
  "(self.kind == 'MongoDB') == (self.apiGroup == 'kubedb.com')": (self) =>
    (self.kind === 'MongoDB') === (self.apiGroup === 'kubedb.com'),
  "self.from != 'Selector' || has(self.selector)": (self) => self.from !== 'Selector' || has(self, 'selector'),
  "self.from == 'Selector' || !has(self.selector)": (self) => self.from === 'Selector' || !has(self, 'selector'),
  "(self.provider == 's3') == has(self.s3)": (self) => (self.provider === 's3') === has(self, 's3'),
  "(self.provider == 'gcs') == has(self.gcs)": (self) => (self.provider === 'gcs') === has(self, 'gcs'),
  "(self.provider == 'azure') == has(self.azure)": (self) => (self.provider === 'azure') === has(self, 'azure'),
  "(self.provider == 'local') == has(self.local)": (self) => (self.provider === 'local') === has(self, 'local'),
  '(has(self.hostPath)?1:0)+(has(self.persistentVolumeClaim)?1:0)+(has(self.nfs)?1:0) == 1': (self) =>
    count(self, 'hostPath', 'persistentVolumeClaim', 'nfs') === 1,
  'has(self.maxRetentionPeriod)||has(self.successfulSnapshots)': (self) =>
    count(self, 'maxRetentionPeriod', 'successfulSnapshots') > 0,
  'has(self.last)||has(self.hourly)||has(self.daily)||has(self.weekly)||has(self.monthly)||has(self.yearly)': (self) =>
    count(self, 'last', 'hourly', 'daily', 'weekly', 'monthly', 'yearly') > 0,
  'has(self.url) != has(self.service)': (self) => has(self, 'url') !== has(self, 'service'),
};

/**
 * What the CEL rules of a schema have against a value whose defaults are filled in.
 *
 * @param old the value before the change: only with it do rules about changes count
 */
export function checkCelRules(schema: Schema, value: unknown, old: unknown, path: string): Cause[] {
  if (!isRecord(value)) {
    const { items } = schema;
    if (!Array.isArray(value) || items === undefined) return [];
    return value.flatMap((item, index) => checkCelRules(items, item, before(schema, old, item), joinPath(path, index)));
  }
  const causes: Cause[] = [];
  for (const { rule, message, reason = 'FieldValueInvalid', fieldPath = '' } of schema['x-kubernetes-validations'] ??
    []) {
    const comparesOld = rule.includes('oldSelf');
    if (comparesOld && !isRecord(old)) continue;
    const holds = CEL_RULES[rule];
    if (holds?.(value, isRecord(old) ? old : {}) === false)
      causes.push({ field: (path + fieldPath).replace(/^\./, ''), reason, message });
  }
  for (const [key, child] of Object.entries(value)) {
    const node = schemaOf(schema, key);
    const former = isRecord(old) && Object.hasOwn(old, key) ? old[key] : undefined;
    if (node !== undefined) causes.push(...checkCelRules(node, child, former, joinPath(path, key)));
  }
  return causes;
}

/** The item of the old list that an item of a list of type map continues. */
function before(schema: Schema, old: unknown, item: unknown): unknown {
  const keys = schema['x-kubernetes-list-map-keys'];
  if (keys === undefined || !Array.isArray(old) || !isRecord(item)) return undefined;
  return old.find((one) => isRecord(one) && keys.every((key) => one[key] === item[key]));
}
