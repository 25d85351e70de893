import type { Condition } from './generated/types.ts';

/** A condition as a controller judges it; the time of its last change is kept apart. */
export type Judgement = Omit<Condition, 'lastTransitionTime'>;

/** Where an object stands, in the sense of kstatus. */
export interface Readiness {
  /**
   * Ready: it does what it says. Reconciling: not known yet. NotReady: it does not, and is tried again. Stalled: it does not, and
   * nothing but a change of the object or its surroundings will mend it.
   */
  state: 'Ready' | 'Reconciling' | 'NotReady' | 'Stalled';
  reason: string;
  message: string;
}

// Bounds of metav1.Condition.
const MESSAGE_LENGTH = 32_768;
const REASON_LENGTH = 1024;

/** RFC 3339 in whole seconds, as metav1.Time is written. */
export function timestamp(time: Date): string {
  return `${time.toISOString().slice(0, 19)}Z`;
}

export function getCondition(conditions: readonly Condition[] | undefined, type: string): Condition | undefined {
  return conditions?.find((condition) => condition.type === type);
}

/** Whether the condition is there with this status, `True` unless told otherwise. */
export function hasCondition(
  conditions: readonly Condition[] | undefined,
  type: string,
  status: Condition['status'] = 'True',
): boolean {
  return getCondition(conditions, type)?.status === status;
}

/** The conditions with one of them judged anew. Its lastTransitionTime moves only when its status changes; the order of the others stays. */
export function setCondition(
  conditions: readonly Condition[] | undefined,
  judgement: Judgement,
  now: Date,
): Condition[] {
  const former = getCondition(conditions, judgement.type);
  const condition: Condition = {
    ...judgement,
    reason: judgement.reason.slice(0, REASON_LENGTH),
    message: judgement.message.slice(0, MESSAGE_LENGTH),
    lastTransitionTime: former?.status === judgement.status ? former.lastTransitionTime : timestamp(now),
  };
  if (former === undefined) return [...(conditions ?? []), condition];
  return (conditions ?? []).map((one) => (one.type === judgement.type ? condition : one));
}

/** The conditions with several judged anew. */
export function setConditions(
  conditions: readonly Condition[] | undefined,
  judgements: readonly Judgement[],
  now: Date,
): Condition[] {
  return judgements.reduce((all, one) => setCondition(all, one, now), [...(conditions ?? [])]);
}

/** The conditions without one type. */
export function removeCondition(conditions: readonly Condition[] | undefined, type: string): Condition[] {
  return (conditions ?? []).filter((condition) => condition.type !== type);
}

/**
 * The conditions with Ready, Reconciling and Stalled set so that kstatus (and with it Flux, Argo CD and kubectl wait) reads them: Ready is
 * Current, Reconciling and NotReady are InProgress, Stalled is Failed.
 *
 * @param generation metadata.generation that was looked at
 */
export function readyConditions(
  conditions: readonly Condition[] | undefined,
  { state, reason, message }: Readiness,
  generation: number,
  now: Date,
): Condition[] {
  const judge = (type: string, status: Condition['status']): Judgement => ({
    type,
    status,
    reason,
    message,
    observedGeneration: generation,
  });
  const ready = state === 'Ready' ? 'True' : state === 'Reconciling' ? 'Unknown' : 'False';
  return setConditions(
    conditions,
    [
      judge('Ready', ready),
      judge('Reconciling', state === 'Reconciling' || state === 'NotReady' ? 'True' : 'False'),
      judge('Stalled', state === 'Stalled' ? 'True' : 'False'),
    ],
    now,
  );
}
