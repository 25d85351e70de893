import { isWrite } from './apply.ts';
import type { InventoryEntry, Step } from './plan.ts';
import type { DesiredObject } from './prepare.ts';

/** Keeps track of what the inventory has to say while objects are written one after the other. */
export class Ledger {
  readonly #former: readonly InventoryEntry[];
  readonly #steps: readonly Step[];
  readonly #done = new Set<Step>();

  constructor(former: readonly InventoryEntry[], steps: readonly Step[]) {
    this.#former = former;
    this.#steps = steps;
  }

  done(step: Step): void {
    this.#done.add(step);
  }

  /** Whether each object that is to be written is on record already, whatever happens meanwhile. */
  knowsAll(): boolean {
    const known = new Set(this.#former.map(({ id }) => id));
    return this.#steps.filter(isWrite).every((step) => known.has(step.action === 'prune' ? step.id : step.desired.id));
  }

  /** When everything has been done. */
  final(): InventoryEntry[] {
    for (const step of this.#steps) if (isWrite(step)) this.#done.add(step);
    return this.#entries(false);
  }

  /** What is there, or may be there after a sudden end: an object that was made and is on no list would never be pruned. */
  intended(): InventoryEntry[] {
    return this.#entries(true);
  }

  #entries(keepUndone: boolean): InventoryEntry[] {
    const former = new Map(this.#former.map((entry) => [entry.id, entry]));
    const entries: InventoryEntry[] = [];
    for (const step of this.#steps) {
      const isDone = this.#done.has(step);
      if (step.action === 'keep' || ((step.action === 'create' || step.action === 'change') && isDone))
        entries.push(entryOf(step.desired));
      else if (step.action === 'create' || step.action === 'change')
        entries.push({ id: step.desired.id, v: versionOf(step.desired) });
      else if (step.action === 'prune' && (isDone || !keepUndone)) continue;
      else {
        const id = step.action === 'conflict' ? step.desired.id : step.id;
        const entry = former.get(id);
        if (entry !== undefined) entries.push(entry);
      }
    }
    return entries.sort((a, b) => (a.id < b.id ? -1 : 1));
  }
}

function entryOf(desired: DesiredObject): InventoryEntry {
  return { id: desired.id, v: versionOf(desired), digest: desired.digest };
}

function versionOf({ type }: DesiredObject): string {
  return type.apiVersion.split('/').at(-1) ?? type.apiVersion;
}
