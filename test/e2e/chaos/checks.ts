import { isDeepStrictEqual } from 'node:util';
import type { Document } from 'mongodb';
import type { BackupSession } from '../../../src/api/generated/types.ts';
import { heldBy } from '../../../src/api/held.ts';
import { isOver } from '../cluster.ts';
import type { Scene } from './scene.ts';
import { isLocked } from './victims.ts';

/** What a session leaves behind at the moment, in words; empty when it has ended and nothing is left. */
export async function leftovers(scene: Scene, session: BackupSession, settings: Document[]): Promise<string[]> {
  const [locked, now] = await Promise.all([lockedMembers(scene), scene.settings()]);
  return [
    ...unfinished(session),
    ...locked.map((address) => `${address} is locked`),
    ...(isDeepStrictEqual(now, settings) ? [] : [`config.settings is ${JSON.stringify(now)}`]),
  ];
}

/** What a session says itself of what is not over or not released. */
export function unfinished(session: BackupSession): string[] {
  const { phase, conditions = [] } = session.status ?? {};
  const unreleased = conditions.find(({ type, status }) => type === 'LocksReleased' && status === 'False');
  return [
    ...(isOver(phase) ? [] : [`the session is ${phase}`]),
    ...heldBy(session).map((name) => `${name} is recorded`),
    ...(unreleased === undefined ? [] : [`LocksReleased is False: ${unreleased.message}`]),
  ];
}

/** Members that somebody has locked, without those that somebody else had locked before. */
async function lockedMembers({ members }: Scene): Promise<string[]> {
  const ours = members.filter(({ foreignLocks }) => foreignLocks === 0);
  const states = await Promise.all(ours.map(isLocked));
  return ours.filter((_, index) => states[index]).map(({ mongod }) => mongod.address);
}

/** What is wrong with the locks that somebody else holds. A server tells their number only to who locks or unlocks. */
export async function foreignLocksGone({ members }: Scene): Promise<string[]> {
  const problems: string[] = [];
  for (const { mongod, client, foreignLocks } of members) {
    if (foreignLocks === 0) continue;
    const admin = client.db('admin');
    const { lockCount } = await admin.command({ fsync: 1, lock: true });
    await admin.command({ fsyncUnlock: 1 });
    const held = Number(lockCount) - 1;
    if (held !== foreignLocks)
      problems.push(`${mongod.address} is locked ${held} times by others, not ${foreignLocks}`);
  }
  return problems;
}

/** What is wrong with how a session ended. */
export async function badEnd(scene: Scene, session: BackupSession, fatal: boolean): Promise<string[]> {
  const { phase, conditions = [] } = session.status ?? {};
  const snapshots = (await scene.objects.list('Snapshot')).filter(
    ({ spec }) => spec.backupSession === session.metadata.name,
  );
  const good = snapshots.filter(({ status }) => status?.phase === 'Succeeded').length;
  const failure = conditions.find(({ type, status }) => type === 'Failed' && status === 'True');
  return [
    ...(fatal && phase !== 'Failed' ? [`the session is ${phase}`] : []),
    ...(phase === 'Failed' && (failure?.reason ?? '') === '' ? ['the session failed without a reason'] : []),
    ...(phase === 'Failed' && good > 0 ? ['a failed session has a good Snapshot'] : []),
    ...(phase === 'Succeeded' && good !== snapshots.length ? ['a good session has a Snapshot that is not'] : []),
  ];
}
