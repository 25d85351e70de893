import type { UpcomingRuns } from './schedules.ts';

/** Something that is wrong, and where it was written. */
export interface Complaint {
  file?: string;
  /** Both from 1. */
  line?: number;
  column?: number;
  /** Path of the field, as kubectl writes it. */
  field?: string;
  message: string;
}

/** What would become of one object. */
export interface PlannedObject {
  action: 'create' | 'change' | 'unchanged' | 'refuse' | 'prune' | 'skip';
  /** kind/namespace/name, or kind/name of what has no namespace. */
  object: string;
  /** Where it was written; nothing of what is pruned. */
  file?: string;
  line?: number;
  /** Lines of a unified diff between what the cluster holds and what it would hold. */
  diff?: string[];
  /** Why it would be refused. */
  causes: Complaint[];
  warnings: string[];
  /** Why it is left alone. */
  reason?: string;
}

/** What applying a set of files would do to a cluster. */
export interface PlanReport {
  /** In the order in which they would be applied, and after them what would be pruned. */
  objects: PlannedObject[];
  /** What cannot be read as an object. */
  problems: Complaint[];
  schedules: UpcomingRuns[];
}

export function countOf({ objects }: PlanReport, action: PlannedObject['action']): number {
  return objects.filter((one) => one.action === action).length;
}

/** Whether something would change in the cluster. */
export function hasChanges({ objects }: PlanReport): boolean {
  return objects.some(({ action }) => action === 'create' || action === 'change' || action === 'prune');
}

/** Whether something would be refused, or could not be read. */
export function hasFailures({ objects, problems }: PlanReport): boolean {
  return problems.length > 0 || objects.some(({ action }) => action === 'refuse');
}
