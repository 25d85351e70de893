import type { SnapshotStatusComponent } from '../../api/generated/types.ts';
import type { DumpProgress } from '../../mongo/dump.ts';
import { remainingSeconds } from '../../mongo/pace.ts';
import type { StreamSummary } from '../../restic/stream.ts';
import { archiveNames, plannedArchives, recordOf } from './archives.ts';
import type { ComponentDump, LockResult } from './component.ts';
import type { ComponentPlan } from './plan.ts';

/** A component that is begun, as so many archives. */
export function runningComponent(plan: ComponentPlan, archives: number, startTime: Date): SnapshotStatusComponent {
  const { name, memberName, memberReason, consistency, consistencyReason } = plan;
  return {
    name,
    phase: 'Running',
    ...plannedArchives(name, archives),
    member: memberName,
    ...(memberReason === undefined ? {} : { memberReason }),
    consistency,
    ...(consistencyReason === undefined ? {} : { consistencyReason }),
    startTime: rfc3339(startTime),
  };
}

/** How far a component is, as its status and the log say it. */
export function figuresOf(
  { bytes, documents, collections, collectionsInAll, bytesInAll, documentsInAll }: DumpProgress,
  started: number,
): Partial<SnapshotStatusComponent> {
  const seconds = (performance.now() - started) / 1000;
  const remaining =
    remainingSeconds(bytes, bytesInAll, seconds) ?? remainingSeconds(documents, documentsInAll, seconds);
  return {
    bytes,
    ...(bytesInAll === undefined ? {} : { bytesTotal: bytesInAll }),
    documents,
    ...(documentsInAll === undefined ? {} : { documentsTotal: documentsInAll }),
    collectionsDone: collections,
    collectionsTotal: collectionsInAll,
    bytesPerSecond: perSecond(bytes, started),
    ...(remaining === undefined ? {} : { remainingSeconds: remaining }),
  };
}

/** A component whose archives are stored, each with what restic said of it. */
export function succeeded(
  { file: _file, archives: _archives, ...component }: SnapshotStatusComponent,
  { bytes, documents, collections, archives, cutTime, lockedSeconds }: ComponentDump & LockResult,
  summaries: readonly StreamSummary[],
  started: number,
): SnapshotStatusComponent {
  const names = archiveNames(component.name, summaries.length);
  const stored = summaries.map(({ snapshotID, bytesAdded }, index) => ({
    ...archives[index],
    file: names[index] ?? '',
    resticSnapshotID: snapshotID,
    addedBytes: bytesAdded,
  }));
  return {
    ...component,
    phase: 'Succeeded',
    ...recordOf(stored),
    bytes,
    documents,
    collectionsDone: collections,
    collectionsTotal: collections,
    addedBytes: summaries.reduce((sum, { bytesAdded }) => sum + bytesAdded, 0),
    bytesPerSecond: perSecond(bytes, started),
    ...(cutTime === undefined ? {} : { cutTime }),
    ...(lockedSeconds === undefined ? {} : { lockedSeconds }),
    completionTime: rfc3339(new Date()),
    durationSeconds: Math.round((performance.now() - started) / 1000),
  };
}

function perSecond(bytes: number, started: number): number {
  return Math.round(bytes / Math.max(0.001, (performance.now() - started) / 1000));
}

export function rfc3339(date: Date): string {
  return date.toISOString().replace(/\.\d{3}Z$/, 'Z');
}
