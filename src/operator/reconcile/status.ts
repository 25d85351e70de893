/** The operator's part of a status: what is its own, and how it is judged anew. Pure. */
import { type Judgement, type Readiness, readyConditions, setCondition } from '../../api/conditions.ts';
import type { Condition } from '../../api/generated/types.ts';
import type { KubeObject } from '../../kube/resource.ts';
import type { StatusFields } from './plan.ts';

/** What one writer owns of the status of one kind. */
export interface StatusOwnership {
  fields: readonly string[];
  conditions: readonly string[];
}

/** The three conditions that every kind has. */
export const READINESS = ['Ready', 'Reconciling', 'Stalled'] as const;

/** The writer's conditions of an object as they are: where the next judgements start from, so that times of change are kept. */
export function ownConditions(live: KubeObject, own: StatusOwnership): Condition[] {
  const all = statusOf(live).conditions;
  return Array.isArray(all) ? (all as Condition[]).filter(({ type }) => own.conditions.includes(type)) : [];
}

/** The writer's fields of an object as they are. */
export function ownStatus<S extends StatusFields>(live: KubeObject & { status?: S }, own: StatusOwnership): S {
  const current = statusOf(live);
  const fields = Object.fromEntries(
    own.fields.filter((field) => current[field] !== undefined).map((field) => [field, current[field]]),
  );
  const conditions = ownConditions(live, own);
  return { ...fields, ...(conditions.length === 0 ? {} : { conditions }) } as unknown as S;
}

/** Collects what is judged about an object in one pass. */
export class Conditions {
  #conditions: Condition[];
  readonly #generation: number;
  readonly #now: Date;

  constructor(live: KubeObject, own: StatusOwnership, now: Date) {
    this.#conditions = ownConditions(live, own);
    this.#generation = live.metadata.generation ?? 0;
    this.#now = now;
  }

  /** Ready, Reconciling and Stalled, in the kstatus sense. */
  ready(state: Readiness['state'], reason: string, message: string): this {
    this.#conditions = readyConditions(this.#conditions, { state, reason, message }, this.#generation, this.#now);
    return this;
  }

  set(type: string, status: Judgement['status'], reason: string, message: string): this {
    const judgement = { type, status, reason, message, observedGeneration: this.#generation };
    this.#conditions = setCondition(this.#conditions, judgement, this.#now);
    return this;
  }

  get(type: string): Condition | undefined {
    return this.#conditions.find((condition) => condition.type === type);
  }

  get list(): Condition[] {
    return this.#conditions;
  }
}

function statusOf(object: KubeObject): Record<string, unknown> {
  const { status } = object as { status?: Record<string, unknown> };
  return status ?? {};
}
