/** What one look at a BackupSession takes into account. */
import type { BackupSession, Snapshot } from '../../api/generated/types.ts';
import type { Job, Pod } from '../../kube/builtin.ts';
import type { Surroundings } from '../backupconfiguration/problems.ts';
import type { Unreleased } from '../context.ts';
import type { JobSettings } from '../jobs/build.ts';

export interface SessionWorld {
  session: BackupSession;
  /** Undefined when the BackupConfiguration does not exist. */
  around: Surroundings | undefined;
  /** What is wrong with the configuration, from its own validation; empty when nothing is. */
  invalid: string;
  /** Whoever else works on the target at the moment. */
  rival: { kind: 'BackupSession' | 'RestoreSession'; name: string } | undefined;
  /** Another session of the target that has ended and whose locks and balancer are not released yet. */
  unreleased: Unreleased | undefined;
  /** The Snapshots of the session. */
  snapshots: readonly Snapshot[];
  /** The backup Job; undefined when there is none (the server was asked). */
  job: Job | undefined;
  /** Pods of the backup Job and of the release Jobs. */
  pods: readonly Pod[];
  releaseJobs: readonly Job[];
  /** All BackupSessions of the configuration, this one among them. */
  siblings: readonly BackupSession[];
  /** The Snapshots of a Repository of the namespace. */
  snapshotsOf(repository: string): readonly Snapshot[];
  /** Jobs that forget data in one of the session's repositories at the moment. */
  forgetting: readonly string[];
  namespaceTerminating: boolean;
  settings: JobSettings;
  now: Date;
}
