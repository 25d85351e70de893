/** Whether a BackupSession may start: a pure decision. */
import type { BackupConfigurationSession } from '../../api/generated/types.ts';
import { BALANCER } from '../../api/held.ts';
import { ownerReference } from '../../kube/apply.ts';
import { problemsOf, type Surroundings, storageFindings } from '../backupconfiguration/problems.ts';
import { type RepositoryWish, repositoryWishes } from '../backupconfiguration/repositories.ts';
import { describeHeld } from './locks.ts';
import type { Ending } from './status.ts';
import type { SessionWorld } from './world.ts';

export type Admission =
  | { verdict: 'start'; around: Surroundings; config: BackupConfigurationSession; wishes: RepositoryWish[] }
  | { verdict: 'wait'; reason: string; message: string; untilMs?: number }
  | { verdict: 'end'; ending: Ending };

/**
 * How long a session waits for what is not there yet. Objects come in any order, and a configuration that was applied a second before its
 * session needs a moment for its repositories.
 */
const PATIENCE_MS = 120_000;
/** How soon it is looked again whether another session's locks are released. */
const LOOK_AT_RELEASE_MS = 1000;

export function admit(world: SessionWorld): Admission {
  const { session, around, invalid, rival, forgetting } = world;
  const { invoker, session: name } = session.spec;
  if (around === undefined)
    return patiently(world, 'ConfigurationNotFound', `BackupConfiguration ${invoker.name} does not exist`, 'create it');
  const { configuration } = around;
  const config = configuration.spec.sessions.find((one) => one.name === name);
  if (config === undefined) {
    return patiently(
      world,
      'SessionNotFound',
      `BackupConfiguration ${invoker.name} has no session ${name}`,
      'name one of its sessions',
    );
  }
  if (configuration.spec.paused === true) {
    return skip('Paused', `BackupConfiguration ${invoker.name} is paused (spec.paused)`);
  }
  if (rival?.kind === 'RestoreSession')
    return skip('RestoreRunning', `the target is being restored by RestoreSession ${rival.name}`);
  if (rival !== undefined)
    return skip('AnotherSessionRunning', `BackupSession ${rival.name} is backing up the same target`);
  if (invalid !== '') {
    const ending: Ending = {
      phase: 'Failed',
      code: 'ConfigurationNotReady',
      message: `BackupConfiguration ${invoker.name} is invalid: ${invalid}`,
      remedy: 'mend it',
      retryable: true,
    };
    return { verdict: 'end', ending };
  }
  const wishes = repositoryWishes(configuration, around.backends, around.repositories, ownerReference(configuration));
  const problems = problemsOf(around, [config], wishes, storageFindings(around));
  if (problems.length > 0) {
    const message = problems.map((problem) => `${problem.reason}: ${problem.message}`).join('; ');
    return patiently(
      world,
      'ConfigurationNotReady',
      `BackupConfiguration ${invoker.name} cannot back up yet: ${message}`,
      'mend what is named there',
    );
  }
  const waiting = waitForRelease(world);
  if (waiting !== undefined) return waiting;
  if (forgetting.length > 0) {
    return {
      verdict: 'wait',
      reason: 'RepositoryBusy',
      message: `waiting for Job ${forgetting.join(', ')}, which removes old data from the repository`,
    };
  }
  const used = new Set(config.repositories.map((repository) => repository.name));
  return { verdict: 'start', around, config, wishes: wishes.filter((wish) => used.has(wish.name)) };
}

/**
 * Nothing of an earlier session may be released in the middle of this one: its release would start the balancer while a sharded cluster is
 * read, or undo a lock of this session for one of its own. A balancer must be back, whatever that takes. A member that cannot be released is
 * one that cannot be reached or that is locked: this session will take another one, and backups must not stop for it.
 */
function waitForRelease({ session, unreleased, now }: SessionWorld): Admission | undefined {
  if (unreleased === undefined) return undefined;
  const waited = now.getTime() - Date.parse(session.metadata.creationTimestamp ?? now.toISOString());
  if (!unreleased.held.includes(BALANCER) && waited >= PATIENCE_MS) return undefined;
  const message = `waiting until what BackupSession ${unreleased.session} left is released: ${describeHeld(unreleased.held)}`;
  return { verdict: 'wait', reason: 'LocksHeld', message, untilMs: LOOK_AT_RELEASE_MS };
}

function skip(reason: string, message: string): Admission {
  return { verdict: 'end', ending: { phase: 'Skipped', reason, message } };
}

function patiently({ session, now }: SessionWorld, code: string, message: string, remedy: string): Admission {
  const waited = now.getTime() - Date.parse(session.metadata.creationTimestamp ?? now.toISOString());
  if (waited < PATIENCE_MS) return { verdict: 'wait', reason: code, message, untilMs: PATIENCE_MS - waited };
  return { verdict: 'end', ending: { phase: 'Failed', code, message, remedy, retryable: true } };
}
