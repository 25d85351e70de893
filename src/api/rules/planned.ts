import type { BackupConfiguration } from '../generated/types.ts';
import { BackupConfigurations, Repositories } from '../kinds.ts';
import { formatName, resolveReference } from '../references.ts';
import type { Findings } from './findings.ts';
import { normalPath } from './places.ts';
import type { Draft, Subject } from './rule.ts';

/** A repository as a session asks for it, with the place that it comes to lie in. */
export interface PlannedRepository {
  /** Path of the field that asks for it. */
  path: string;
  name: string;
  backend: string | undefined;
  directory: string;
  encryptionSecret: unknown;
  /** namespace/name of the BackupStorage, when the backend is known. */
  storage: string | undefined;
}

type Backends = Draft<BackupConfiguration['spec']['backends']>;

interface Asked extends Omit<PlannedRepository, 'storage'> {
  encryptionSecret: object | undefined;
  backends: Backends | undefined;
  namespace: string;
}

/** Where a repository comes to lie that a configuration asks for. */
export function planRepository({ backends, namespace, ...asked }: Asked): PlannedRepository {
  const storage = backends?.find(({ name }) => name === asked.backend)?.storageRef;
  const name = storage?.name;
  return {
    ...asked,
    encryptionSecret: { namespace, ...asked.encryptionSecret },
    storage: name && formatName(resolveReference({ ...storage, name }, namespace)),
  };
}

interface Claim {
  /** namespace/name. */
  repository: string;
  place: string;
}

// A configuration is looked at by the review of every other one.
const claims = new WeakMap<BackupConfiguration, readonly Claim[]>();

/** One place is one Repository: what another configuration asks for is as good as there, also before its Repository exists. */
export function checkOtherConfigurations(
  findings: Findings,
  { lookup, namespace, name }: Subject<BackupConfiguration>,
  planned: readonly PlannedRepository[],
): void {
  const places = new Map(planned.map((one) => [placeKey(one.storage, normalPath(one.directory)), one]));
  if (places.size === 0) return;
  for (const other of lookup.list(BackupConfigurations)) {
    const home = other.metadata.namespace ?? '';
    if ((home === namespace && other.metadata.name === name) || other.metadata.deletionTimestamp !== undefined)
      continue;
    for (const claim of claimsOf(other, home)) {
      const same = places.get(claim.place);
      if (same === undefined || formatName({ namespace, name: same.name }) === claim.repository) continue;
      // Once the Repository exists, it says so itself.
      const [, repository = ''] = claim.repository.split('/');
      if (lookup.get(Repositories, home, repository) !== undefined) continue;
      const owner = formatName({ namespace: home, name: other.metadata.name ?? '' });
      const message = `Repository ${claim.repository} of BackupConfiguration ${owner} is to have this directory`;
      findings.refuse(`${same.path}.directory`, 'FieldValueDuplicate', `${message}; each needs one of its own`);
    }
  }
}

function claimsOf(configuration: BackupConfiguration, namespace: string): readonly Claim[] {
  const known = claims.get(configuration);
  if (known !== undefined) return known;
  const { backends, sessions } = configuration.spec;
  const found = sessions.flatMap(({ repositories }) =>
    repositories.flatMap(({ name, backend, directory }): Claim[] => {
      const storage = backends?.find((one) => one.name === backend)?.storageRef;
      if (storage === undefined) return [];
      const place = placeKey(formatName(resolveReference(storage, namespace)), normalPath(directory));
      return [{ repository: formatName({ namespace, name }), place }];
    }),
  );
  claims.set(configuration, found);
  return found;
}

/** A storage that is not known is none that another configuration could mean. */
function placeKey(storage: string | undefined, folder: string): string {
  return `${storage ?? ''} ${folder}`;
}
