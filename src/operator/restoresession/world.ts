/** What one look at a RestoreSession takes into account. */
import type { Cause } from '../../api/causes.ts';
import type { Addon, BackstayFunction, Repository, RestoreSession, Snapshot } from '../../api/generated/types.ts';
import type { Job, Pod } from '../../kube/builtin.ts';
import type { KubeObject } from '../../kube/resource.ts';
import type { Unreleased } from '../context.ts';
import type { JobSettings } from '../jobs/build.ts';
import type { SecretFinding } from '../secrets.ts';
import type { StorageFinding } from '../storages.ts';
import type { TargetFinding } from '../target.ts';

export interface RestoreWorld {
  restore: RestoreSession;
  causes: readonly Cause[];
  target: TargetFinding;
  repository: Repository | undefined;
  /** Storage of the repository, judged from the Repository's namespace; undefined without a repository. */
  storage: StorageFinding | undefined;
  /** What was found of the Secret that replaces the Repository's. */
  secret: SecretFinding;
  /** Snapshots in the repository. */
  snapshots: readonly Snapshot[];
  findAddon(name: string): Addon | undefined;
  findFunction(name: string): BackstayFunction | undefined;
  namespaceLabels: Readonly<Record<string, string>> | undefined;
  rival: { kind: 'BackupSession' | 'RestoreSession'; name: string } | undefined;
  /** A BackupSession of the target that has ended and whose locks and balancer are not released yet. */
  unreleased: Unreleased | undefined;
  /** BackupConfigurations of the target, as namespace/name. */
  configurations: readonly string[];
  job: Job | undefined;
  pods: readonly Pod[];
  elsewhere: { roles: readonly KubeObject[]; bindings: readonly KubeObject[] };
  settings: JobSettings;
  now: Date;
}
