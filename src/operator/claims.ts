/**
 * Who works on a target: at most one backup or restore at a time.
 *
 * The status of a session says so too, but the caches show it a moment later, and two sessions may be looked at in that moment. One process leads
 * at a time, so its memory decides; after a restart the statuses do.
 */
export interface Claimant {
  kind: 'BackupSession' | 'RestoreSession';
  /** namespace/name. */
  name: string;
}

export class TargetClaims {
  readonly #holders = new Map<string, Claimant>();
  /** Restores that wait for a backup to end: no other backup starts before them. */
  readonly #next = new Map<string, Claimant>();

  /** Takes the target, unless somebody else has it or is next; who that is, otherwise undefined. */
  claim(target: string, claimant: Claimant): Claimant | undefined {
    const holder = this.#holders.get(target);
    if (holder !== undefined && !same(holder, claimant)) return holder;
    const next = this.#next.get(target);
    if (next !== undefined && !same(next, claimant)) return next;
    this.#next.delete(target);
    this.#holders.set(target, claimant);
    return undefined;
  }

  /** Makes a restore the next one to take the target. */
  reserve(target: string, claimant: Claimant): void {
    if (!this.#next.has(target)) this.#next.set(target, claimant);
  }

  /** Gives back whatever the claimant has. */
  release(claimant: Claimant): void {
    for (const claims of [this.#holders, this.#next]) {
      for (const [target, holder] of claims) if (same(holder, claimant)) claims.delete(target);
    }
  }
}

function same(a: Claimant, b: Claimant): boolean {
  return a.kind === b.kind && a.name === b.name;
}
