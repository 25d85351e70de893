/**
 * Whether a server-side apply would change anything, decided without asking the server.
 *
 * A settled cluster should see no writes at all. The live object says who owns which field (`managedFields`); an apply changes nothing
 * exactly if this manager owns the fields it wants and no others, and each has the value it wants. The check errs on the side of writing:
 * a value that the server stores in another spelling (`0.5` of a CPU as `500m`) never looks settled, and applying it again changes nothing.
 *
 * `fieldsV1` is a tree (structured-merge-diff): `f:name` is a field, `k:{…}` an item of a list by its keys, `v:value` an item of a set,
 * `.` the thing itself; a leaf stands for everything below it.
 */
import type { KubeObject, ManagedFieldsEntry } from './resource.ts';

type Fields = Record<string, unknown>;

export interface SettledOptions {
  fieldManager: string;
  subresource?: 'status' | undefined;
}

/** True if applying `desired` as this manager would leave `live` as it is. */
export function isSettled(desired: object, live: KubeObject, { fieldManager, subresource }: SettledOptions): boolean {
  const claim = live.metadata.managedFields?.find(
    (entry: ManagedFieldsEntry) =>
      entry.manager === fieldManager &&
      entry.operation === 'Apply' &&
      entry.apiVersion === live.apiVersion &&
      (entry.subresource ?? '') === (subresource ?? ''),
  );
  if (claim?.fieldsV1 === undefined) return false;
  return sameFields(withoutIdentity(desired, subresource), live as unknown as Fields, claim.fieldsV1);
}

/** What names an object is not owned by anybody. */
function withoutIdentity(desired: object, subresource: 'status' | undefined): Fields {
  const { apiVersion: _apiVersion, kind: _kind, metadata, ...rest } = desired as Fields;
  if (subresource !== undefined) return { [subresource]: rest[subresource] };
  const {
    name: _name,
    namespace: _namespace,
    uid: _uid,
    resourceVersion: _version,
    ...meta
  } = (metadata ?? {}) as Fields;
  return { ...rest, metadata: Object.keys(meta).length === 0 ? undefined : meta };
}

function settled(desired: unknown, live: unknown, owned: unknown): boolean {
  if (!isRecord(owned)) return false;
  const owners = Object.keys(owned).filter((key) => key !== '.');
  // A leaf: a scalar, or a list or map that is owned as a whole.
  if (owners.length === 0) return covers(desired, live);
  if (Array.isArray(desired)) return Array.isArray(live) && sameItems(desired, live, owned, owners);
  return isRecord(desired) && isRecord(live) && sameFields(desired, live, owned);
}

function sameFields(desired: Fields, live: Fields, owned: Fields): boolean {
  const wanted = Object.keys(desired).filter((key) => !isNothing(desired[key]) || `f:${key}` in owned);
  for (const key of wanted) if (!settled(desired[key], live[key], owned[`f:${key}`])) return false;
  // A field that we own and no longer want would be removed.
  return Object.keys(owned).every(
    (key) => key === '.' || (key.startsWith('f:') && desired[key.slice(2)] !== undefined),
  );
}

function sameItems(desired: unknown[], live: unknown[], owned: Fields, owners: string[]): boolean {
  if (owners.length !== desired.length) return false;
  const positions: number[] = [];
  for (const owner of owners) {
    if (owner.startsWith('v:')) {
      const value = parse(owner.slice(2));
      if (!desired.includes(value) || !live.includes(value)) return false;
    } else if (owner.startsWith('k:')) {
      const keys = parse(owner.slice(2));
      const wanted = desired.findIndex((item) => hasKeys(item, keys, true));
      const present = live.findIndex((item) => hasKeys(item, keys, false));
      if (wanted < 0 || present < 0 || !sameItem(desired[wanted], live[present], owned[owner])) return false;
      positions.push(wanted, present);
    } else return false;
  }
  return inSameOrder(positions);
}

/** Like `settled`, for an item whose keys (`name`, defaulted `protocol`) may be left out of the wanted one. */
function sameItem(desired: unknown, live: unknown, owned: unknown): boolean {
  if (!isRecord(desired) || !isRecord(live) || !isRecord(owned)) return false;
  // An item that is owned as a whole, such as an owner reference.
  if (Object.keys(owned).every((key) => key === '.')) return covers(desired, live);
  const keys = Object.keys(owned).filter((key) => key !== '.' && desired[key.slice(2)] === undefined);
  // A key that the server filled in is recorded as ours; only a field of the list's key can be.
  const rest = Object.fromEntries(Object.entries(owned).filter(([key]) => !keys.includes(key)));
  return keys.length === 0
    ? sameFields(desired, live, owned)
    : keys.every((key) => DEFAULTED_KEYS.has(key)) && sameFields(desired, live, rest);
}

/** Keys of built-in lists that have a default: ports of a container or a Service. */
const DEFAULTED_KEYS = new Set(['f:protocol']);

/** Whether items stand in the live list in the order in which they are wanted; pairs of (wanted position, live position). */
function inSameOrder(positions: number[]): boolean {
  const pairs: [number, number][] = [];
  for (let at = 0; at + 1 < positions.length; at += 2) pairs.push([positions[at] ?? 0, positions[at + 1] ?? 0]);
  pairs.sort(([a], [b]) => a - b);
  return pairs.every(([, present], at) => at === 0 || present > (pairs[at - 1]?.[1] ?? -1));
}

/** Whether `live` has everything that `desired` has; what the server added beside it does not matter. */
function covers(desired: unknown, live: unknown): boolean {
  if (isNothing(desired) && (live === undefined || live === null)) return true;
  if (Array.isArray(desired)) {
    return (
      Array.isArray(live) && live.length === desired.length && desired.every((item, index) => covers(item, live[index]))
    );
  }
  if (isRecord(desired)) return isRecord(live) && Object.keys(desired).every((key) => covers(desired[key], live[key]));
  return desired === live;
}

function hasKeys(item: unknown, keys: unknown, mayOmit: boolean): boolean {
  if (!isRecord(item) || !isRecord(keys)) return false;
  return Object.entries(keys).every(([name, value]) => item[name] === value || (mayOmit && item[name] === undefined));
}

/** Not a value that anybody owns: left out, or empty where the server drops empty things. */
function isNothing(value: unknown): boolean {
  if (value === undefined || value === null) return true;
  return Array.isArray(value) ? value.length === 0 : isRecord(value) && Object.values(value).every(isNothing);
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
