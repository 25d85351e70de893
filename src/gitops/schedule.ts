import type { PolicySync } from '../api/generated/types.ts';
import type { Clock } from '../kube/clock.ts';
import { requestOf } from './status.ts';

/** When PolicySyncs are reconciled next; by their keys. */
export class Schedule {
  readonly #clock: Clock;
  /** When the next reconciliation is due, in milliseconds of the clock. */
  readonly #due = new Map<string, { uid: string; at: number }>();
  /** Keys of those that may have something new, until they are looked at. */
  readonly #hinted = new Set<string>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  hint(key: string): void {
    this.#hinted.add(key);
  }

  /** Whether there was a hint since it was last asked. */
  takeHint(key: string): boolean {
    return this.#hinted.delete(key);
  }

  /** Milliseconds until it is due; none for one that was not reconciled yet, or that stands in another's place. */
  waitMs(key: string, uid: string): number {
    const due = this.#due.get(key);
    return due === undefined || due.uid !== uid ? 0 : Math.max(0, due.at - this.#clock.now());
  }

  next(key: string, uid: string, inMs: number): void {
    this.#due.set(key, { uid, at: this.#clock.now() + inMs });
  }

  /** It is due as soon as somebody looks. */
  reset(key: string): void {
    this.#due.delete(key);
  }

  forget(key: string): void {
    this.#due.delete(key);
    this.#hinted.delete(key);
  }
}

/** Whether somebody asks for a reconciliation that has not been made, or changed the spec since the last one. */
export function isRequested({ metadata, status }: PolicySync): boolean {
  const requested = requestOf(metadata.annotations);
  return (
    (requested !== undefined && requested !== status?.lastHandledReconcileAt) ||
    status?.observedGeneration !== metadata.generation
  );
}
