import { BSON, type MongoClient } from 'mongodb';
import { BackstayError } from '../../api/errors.ts';
import { stringField } from '../bson/elements.ts';
import { mongoFailure } from '../errors.ts';
import { documentsOf, insertRaw, rawDocuments } from '../wire.ts';

/** The server's own names for these: the role "restore" may read exactly them. */
const TEMPORARY = { Users: 'tempusers', Roles: 'temproles' } as const;
const WRITE_CONCERN = { w: 'majority' } as const;
/** The only layout of users that servers since 3.0 have. */
const AUTH_SCHEMA = 5;

/** Users, roles and versions of an archive, as bytes; they are few enough to wait in memory until the data is there. */
export class AuthorizationData {
  readonly #users: Uint8Array[] = [];
  readonly #roles: Uint8Array[] = [];
  readonly #versions: Uint8Array[] = [];

  add(collection: string, pieces: Uint8Array[]): void {
    const list = { 'system.users': this.#users, 'system.roles': this.#roles, 'system.version': this.#versions }[
      collection
    ];
    list?.push(...Array.from(documentsOf(Buffer.concat(pieces))));
  }

  /**
   * Brings users and roles to the server, with their credentials as they were. None is ever removed, and the user that we are logged in as, and its roles, stay as they are: a restore must not lock itself, and whoever comes
   * after it, out.
   *
   * @param replace those that are there under the same name become those of the archive; else they stay
   */
  async restore(client: MongoClient, replace: boolean): Promise<{ users: number; roles: number; kept: string[] }> {
    this.#checkSchema();
    if (this.#users.length + this.#roles.length === 0) return { users: 0, roles: 0, kept: [] };
    try {
      const own = await ownNames(client);
      // a user may have roles of the archive
      const roles = await restoreRoles(client, this.#roles, own.roles, replace);
      const users = await restoreUsers(client, this.#users, own.users, replace);
      return { users: users.restored, roles: roles.restored, kept: [...users.kept, ...roles.kept] };
    } catch (error) {
      throw mongoFailure(error, 'restore users and roles', 'the role "restore"');
    }
  }

  /** featureCompatibilityVersion of the server that was dumped, if the archive has it. */
  get featureCompatibility(): string | undefined {
    for (const bytes of this.#versions) {
      const { _id, version } = BSON.deserialize(bytes);
      if (_id === 'featureCompatibilityVersion' && typeof version === 'string') return version;
    }
    return undefined;
  }

  #checkSchema(): void {
    for (const bytes of this.#versions) {
      const version = BSON.deserialize(bytes);
      if (version._id !== 'authSchema' || version.currentVersion === AUTH_SCHEMA) continue;
      throw new BackstayError(
        'UnsupportedUsers',
        `users of authorization schema ${version.currentVersion} cannot be restored`,
        {
          remedy: 'load without users and roles, and create them by hand',
        },
      );
    }
  }
}

interface Outcome {
  restored: number;
  /** Those that stay as they are on the server. */
  kept: string[];
}

const idOf = (document: Uint8Array): string => stringField(document, '_id') ?? '';

/**
 * Users come by a list, since only the server can write credentials. It either adds those that are missing, or becomes the server's list
 * of users: then everybody else who is there must be in it too.
 */
async function restoreUsers(
  client: MongoClient,
  archived: Uint8Array[],
  own: Set<string>,
  replace: boolean,
): Promise<Outcome> {
  if (archived.length === 0) return { restored: 0, kept: [] };
  const present: Uint8Array[] = [];
  for await (const user of rawDocuments(client.db('admin'), { find: 'system.users' }))
    present.push(Uint8Array.from(user));
  const { coming, kept } = sort(archived, new Set(present.map(idOf)), own, replace);
  const ids = new Set(coming.map(idOf));
  const others = replace ? present.filter((document) => !ids.has(idOf(document))) : [];
  if (coming.length > 0) await merge(client, 'Users', [...coming, ...others], replace);
  return { restored: coming.length, kept };
}

/** Roles that are missing come by a list, too. Those that are there are updated: the role "restore" may not read the server's own. */
async function restoreRoles(
  client: MongoClient,
  archived: Uint8Array[],
  own: Set<string>,
  replace: boolean,
): Promise<Outcome> {
  if (archived.length === 0) return { restored: 0, kept: [] };
  const names = archived.map((document) => ({ role: stringField(document, 'role'), db: stringField(document, 'db') }));
  const { roles } = await client.db('admin').command({ rolesInfo: names });
  const present = new Set((roles as { role: string; db: string }[]).map(({ role, db }) => `${db}.${role}`));
  const { coming, kept } = sort(archived, present, own, replace);
  const missing = coming.filter((document) => !present.has(idOf(document)));
  if (missing.length > 0) await merge(client, 'Roles', missing, false);
  for (const document of coming.filter((other) => present.has(idOf(other)))) {
    const {
      role,
      db,
      privileges,
      roles: inherited,
      authenticationRestrictions: restrictions,
    } = BSON.deserialize(document);
    await client.db(db).command({
      updateRole: role,
      privileges,
      roles: inherited,
      ...(restrictions === undefined ? {} : { authenticationRestrictions: restrictions }),
      writeConcern: WRITE_CONCERN,
    });
  }
  return { restored: coming.length, kept };
}

function sort(
  archived: Uint8Array[],
  present: Set<string>,
  own: Set<string>,
  replace: boolean,
): { coming: Uint8Array[]; kept: string[] } {
  const stays = (document: Uint8Array): boolean => own.has(idOf(document)) || (!replace && present.has(idOf(document)));
  return { coming: archived.filter((document) => !stays(document)), kept: archived.filter(stays).map(idOf) };
}

/**
 * Brings a list to the server by the command that mongorestore uses. It reads from a collection.
 *
 * @param equal the server's list becomes equal to this one; else what is missing there is added
 */
async function merge(
  client: MongoClient,
  kind: 'Users' | 'Roles',
  documents: Uint8Array[],
  equal: boolean,
): Promise<void> {
  const admin = client.db('admin');
  const name = TEMPORARY[kind];
  const dropTemporary = (): Promise<unknown> =>
    admin.command({ drop: name, writeConcern: WRITE_CONCERN }).catch(ignoreMissing);
  // what a load left that was killed here
  await dropTemporary();
  try {
    await admin.command({ create: name, writeConcern: WRITE_CONCERN });
    for (let start = 0; start < documents.length; start += 1000) {
      const fields = { ordered: true, writeConcern: WRITE_CONCERN };
      const reply = await insertRaw(admin, name, documents.slice(start, start + 1000), fields);
      if (reply.writeErrors !== undefined) throw new Error(String(reply.writeErrors[0]?.errmsg));
    }
    await admin.command({
      _mergeAuthzCollections: 1,
      [`temp${kind}Collection`]: `admin.${name}`,
      drop: equal,
      db: '',
      writeConcern: WRITE_CONCERN,
    });
  } finally {
    await dropTemporary().catch(() => {});
  }
}

function ignoreMissing(error: unknown): void {
  const NAMESPACE_NOT_FOUND = 26;
  if (!(error instanceof Error && 'code' in error && error.code === NAMESPACE_NOT_FOUND)) throw error;
}

/** The users that the connection is logged in as, and their roles, as ids: "admin.backup". */
async function ownNames(client: MongoClient): Promise<{ users: Set<string>; roles: Set<string> }> {
  const { authInfo } = await client.db('admin').command({ connectionStatus: 1 });
  const ids = (list: { db: string }[], name: (item: never) => string): Set<string> =>
    new Set(list.map((item) => `${item.db}.${name(item as never)}`));
  return {
    users: ids(authInfo.authenticatedUsers, ({ user }: { user: string }) => user),
    roles: ids(authInfo.authenticatedUserRoles, ({ role }: { role: string }) => role),
  };
}
