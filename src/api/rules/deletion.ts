import type { Verdict } from '../causes.ts';
import type { BackupConfiguration } from '../generated/types.ts';
import { isRecord } from '../json.ts';
import { Addons, BackupConfigurations, type Kind, Repositories } from '../kinds.ts';
import { formatName, resolveReference } from '../references.ts';
import { soundLookup } from '../sound-lookup.ts';
import { Findings } from './findings.ts';
import { type Lookup, Namespaces } from './rule.ts';

/** An object with this annotation may be deleted although it is in use, or takes data with it. Its value is the name of the object. */
export const CONFIRM_DELETION_ANNOTATION = 'backstay.dev/confirm-deletion';

const NAMED_USERS = 5;
// What these delete was decided elsewhere: a namespace that goes, or an owner that went.
const CONTROLLERS = ['generic-garbage-collector', 'namespace-controller'].map(
  (name) => `system:serviceaccount:kube-system:${name}`,
);

/** A deletion as it is judged. */
export interface Deletion {
  kind: Kind;
  /** The object as it is stored. */
  object: unknown;
  namespace: string;
  lookup: Lookup;
  /** Name of the user who deletes, when it is known. */
  user?: string;
}

/**
 * Judges a deletion. What others use, or what would take data with it, goes only when the annotation says so; a namespace that goes and what
 * the garbage collector removes are never held up.
 */
export function judgeDeletion({ kind, object, namespace, lookup: given, user = '' }: Deletion): Verdict {
  const findings = new Findings();
  const lookup = soundLookup(given);
  const spec = part(object, 'spec');
  const { name: written, annotations } = part(object, 'metadata');
  const name = typeof written === 'string' ? written : '';
  const self = namespace === '' ? name : formatName({ namespace, name });
  const say = (message: string, remedy: string): void => {
    const confirmed = isRecord(annotations) && annotations[CONFIRM_DELETION_ANNOTATION] === name;
    if (confirmed || CONTROLLERS.includes(user) || isGoing(namespace, lookup)) findings.warn(message);
    else {
      const how = `${remedy} the annotation ${CONFIRM_DELETION_ANNOTATION}: ${name}`;
      findings.refuse('metadata', 'FieldValueForbidden', `${message}; ${how}`);
    }
  };
  const users = usersOf(kind, self, part(object, 'status'), lookup);
  if (users.length > 0) {
    const more = users.length - NAMED_USERS;
    const list = users.slice(0, NAMED_USERS).join(', ');
    say(`${kind} ${self} is in use by ${list}${more > 0 ? ` and ${more} more` : ''}`, 'delete those first, or set');
  }
  if (spec.deletionPolicy === 'WipeOut' && kind === 'Repository') {
    say(
      `deletionPolicy is WipeOut: the data of Repository ${self} would be removed from the storage`,
      'to confirm, set',
    );
  }
  if (spec.deletionPolicy === 'WipeOut' && kind === 'Snapshot') {
    findings.warn(`deletionPolicy is WipeOut: the data of Snapshot ${self} is removed from the storage`);
  }
  return findings;
}

/** The objects that need the one that is deleted, as `kind namespace/name`. */
function usersOf(kind: Kind, self: string, status: Record<string, unknown>, lookup: Lookup): string[] {
  switch (kind) {
    case 'BackupStorage':
      return lookup
        .list(Repositories)
        .filter((one) => formatName(resolveReference(one.spec.storageRef, one.metadata.namespace ?? '')) === self)
        .map(label);
    case 'RetentionPolicy':
      return lookup.list(BackupConfigurations).filter(usesPolicy(self)).map(label);
    case 'Repository':
      return typeof status.snapshotCount === 'number' && status.snapshotCount > 0
        ? [`${status.snapshotCount} ${status.snapshotCount === 1 ? 'Snapshot' : 'Snapshots'}`]
        : [];
    case 'Addon':
      return lookup
        .list(BackupConfigurations)
        .filter(({ spec }) => spec.sessions.some(({ addon }) => addon.name === self))
        .map(label);
    case 'Function':
      return lookup
        .list(Addons)
        .filter(({ spec }) =>
          [...(spec.backupTasks ?? []), ...(spec.restoreTasks ?? [])].some((task) => task.function === self),
        )
        .map(label);
    default:
      return [];
  }
}

function usesPolicy(self: string): (configuration: BackupConfiguration) => boolean {
  return ({ metadata, spec }) =>
    (spec.backends ?? []).some(
      ({ retentionPolicy }) =>
        retentionPolicy !== undefined &&
        formatName(resolveReference(retentionPolicy, metadata.namespace ?? '')) === self,
    );
}

function isGoing(namespace: string, lookup: Lookup): boolean {
  return lookup.get(Namespaces, undefined, namespace)?.metadata.deletionTimestamp !== undefined;
}

function label({ kind, metadata }: { kind?: string; metadata: { name?: string; namespace?: string } }): string {
  const { namespace, name = '' } = metadata;
  return `${kind} ${namespace === undefined ? name : formatName({ namespace, name })}`;
}

function part(object: unknown, key: string): Record<string, unknown> {
  const found = isRecord(object) ? object[key] : undefined;
  return isRecord(found) ? found : {};
}
