import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  getCondition,
  hasCondition,
  readyConditions,
  removeCondition,
  setCondition,
  timestamp,
} from '../../src/api/conditions.ts';

const test = suite('conditions');
const first = new Date('2026-11-23T12:00:00.500Z');
const later = new Date('2026-11-23T12:05:00Z');
const ready = { type: 'Ready', status: 'True', reason: 'Fine', message: 'All is well', observedGeneration: 1 } as const;

test('a time is written in whole seconds, as metav1.Time is', () => {
  assert.is(timestamp(first), '2026-11-23T12:00:00Z');
});

test('lastTransitionTime stays while the status stays, whatever else changes', () => {
  const before = setCondition(undefined, ready, first);
  const after = setCondition(
    before,
    { ...ready, reason: 'Better', message: 'Even better', observedGeneration: 2 },
    later,
  );
  assert.equal(after, [
    { ...ready, reason: 'Better', message: 'Even better', observedGeneration: 2, lastTransitionTime: timestamp(first) },
  ]);
});

test('lastTransitionTime moves when the status changes', () => {
  const before = setCondition(undefined, ready, first);
  const after = setCondition(before, { ...ready, status: 'False' }, later);
  assert.is(getCondition(after, 'Ready')?.lastTransitionTime, timestamp(later));
});

test('the other conditions stay as they are and where they are', () => {
  const before = setCondition(setCondition(undefined, ready, first), { ...ready, type: 'Other' }, first);
  const after = setCondition(before, { ...ready, status: 'False' }, later);
  assert.equal(
    after.map(({ type }) => type),
    ['Ready', 'Other'],
  );
  assert.is(after[1], before[1]);
  assert.is(before[0]?.status, 'True');
});

test('a message longer than a condition may hold is cut', () => {
  const [condition] = setCondition(undefined, { ...ready, message: 'x'.repeat(40_000) }, first);
  assert.is(condition?.message.length, 32_768);
});

test('conditions are asked for and removed by type', () => {
  const conditions = setCondition(undefined, ready, first);
  assert.ok(hasCondition(conditions, 'Ready'));
  assert.not.ok(hasCondition(conditions, 'Ready', 'False'));
  assert.not.ok(hasCondition(undefined, 'Ready'));
  assert.equal(removeCondition(conditions, 'Ready'), []);
});

// The rules of kstatus, in the order that it applies them.
function kstatus(conditions: ReturnType<typeof readyConditions>): string {
  if (hasCondition(conditions, 'Reconciling')) return 'InProgress';
  if (hasCondition(conditions, 'Stalled')) return 'Failed';
  return hasCondition(conditions, 'Ready') ? 'Current' : 'InProgress';
}

for (const [state, expected, status] of [
  ['Ready', 'Current', 'True'],
  ['Reconciling', 'InProgress', 'Unknown'],
  ['NotReady', 'InProgress', 'False'],
  ['Stalled', 'Failed', 'False'],
] as const) {
  test(`kstatus reads ${state} as ${expected}`, () => {
    const conditions = readyConditions(undefined, { state, reason: 'Because', message: 'It is so' }, 3, first);
    assert.is(kstatus(conditions), expected);
    assert.is(getCondition(conditions, 'Ready')?.status, status);
    assert.ok(conditions.every((condition) => condition.observedGeneration === 3));
  });
}

test('a state after another leaves nothing of it behind', () => {
  const stalled = readyConditions(undefined, { state: 'Stalled', reason: 'A', message: 'a' }, 1, first);
  const conditions = readyConditions(stalled, { state: 'Ready', reason: 'B', message: 'b' }, 2, later);
  assert.is(kstatus(conditions), 'Current');
  assert.is(conditions.length, 3);
});

test.run();
