import { stringify } from 'yaml';
import { isRecord } from '../api/json.ts';
import type { KubeObject } from '../api/meta.ts';
import { isSecret } from '../gitops/sops/admit.ts';
import { MASK, SECRET_FIELDS } from '../gitops/sops/discreet.ts';
import { unifiedDiff } from './unified-diff.ts';

// What the server keeps by itself: it differs between any two writes, and says nothing about them.
const SERVER_METADATA: readonly string[] = [
  'managedFields',
  'resourceVersion',
  'uid',
  'generation',
  'creationTimestamp',
  'selfLink',
];
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

/** The differences between two states of an object as people read them: without what the server keeps, and without the values of Secrets. */
export function differencesBetween(before: KubeObject | undefined, after: KubeObject): string[] {
  const [old, fresh] = masked(before === undefined ? undefined : shown(before), shown(after));
  return unifiedDiff(old === undefined ? '' : toYAML(old), toYAML(fresh));
}

type Shown = Record<string, unknown>;

function shown(object: KubeObject): Shown {
  const { status: _status, metadata, ...rest } = object as KubeObject & { status?: unknown };
  const kept = Object.entries(metadata).filter(([key]) => !SERVER_METADATA.includes(key));
  const { annotations, ...others } = Object.fromEntries(kept) as KubeObject['metadata'];
  const notes = Object.entries(annotations ?? {}).filter(([key]) => key !== LAST_APPLIED);
  return {
    ...rest,
    metadata: { ...others, ...(notes.length === 0 ? {} : { annotations: Object.fromEntries(notes) }) },
  };
}

/** Values of Secrets as asterisks, which say of two that differ which one is the new one. */
function masked(before: Shown | undefined, after: Shown): [Shown | undefined, Shown] {
  if (!isSecret(after)) return [before, after];
  const [old, fresh] = [{ ...before }, { ...after }];
  for (const field of SECRET_FIELDS) {
    const [was, is] = [old[field], fresh[field]];
    if (isRecord(was)) old[field] = maskValues(was, isRecord(is) ? is : {}, '(before)');
    if (isRecord(is)) fresh[field] = maskValues(is, isRecord(was) ? was : {}, '(after)');
  }
  return [before === undefined ? undefined : old, fresh];
}

function maskValues(values: Shown, others: Shown, which: string): Shown {
  const mask = ([key, value]: [string, unknown]): [string, string] => [
    key,
    Object.hasOwn(others, key) && others[key] !== value ? `${MASK} ${which}` : MASK,
  ];
  return Object.fromEntries(Object.entries(values).map(mask));
}

function toYAML(object: Shown): string {
  return stringify(object, { sortMapEntries: true, lineWidth: 0, version: '1.1', aliasDuplicateObjects: false });
}
