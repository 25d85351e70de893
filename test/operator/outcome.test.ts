import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Job, Pod } from '../../src/kube/builtin.ts';
import { jobOutcome } from '../../src/operator/jobs/outcome.ts';
import { parseResult } from '../../src/operator/jobs/result.ts';

const test = suite('outcome of a Job');

const NOW = Date.parse('2026-03-15T12:00:00Z');
const ENDED = '2026-03-15T11:59:00Z';

function job(condition?: { type: string; reason?: string }): Job {
  const conditions =
    condition === undefined ? [] : [{ ...condition, status: 'True' as const, lastTransitionTime: ENDED }];
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: 'backup-x', uid: 'job', creationTimestamp: '2026-03-15T11:00:00Z' },
    spec: { template: { spec: { containers: [] } } },
    status: { conditions },
  };
}

function pod(status: Pod['status'] & {}, spec: Pod['spec'] & {} = { containers: [{ name: 'backstay' }] }): Pod {
  const metadata = {
    name: 'backup-x-1',
    ownerReferences: [{ apiVersion: 'batch/v1', kind: 'Job', name: 'backup-x', uid: 'job' }],
  };
  return { apiVersion: 'v1', kind: 'Pod', metadata, spec, status };
}

function ended(terminated: { exitCode: number; reason?: string; message?: string }, name = 'backstay'): Pod {
  return pod({
    phase: terminated.exitCode === 0 ? 'Succeeded' : 'Failed',
    containerStatuses: [{ name, state: { terminated } }],
  });
}

const failed = job({ type: 'Failed', reason: 'BackoffLimitExceeded' });
const LARGE = { containers: [{ name: 'backstay', resources: { limits: { memory: '64Mi' } } }] };
const OOM = { exitCode: 137, reason: 'OOMKilled' };

test('a Job without a condition runs', () => {
  assert.equal(jobOutcome(job(), [pod({ phase: 'Running' })], NOW), { state: 'running' });
});

test('a Job that is only about to fail still runs', () => {
  assert.is(
    jobOutcome(job({ type: 'FailureTarget', reason: 'DeadlineExceeded' }), [pod({ phase: 'Running' })], NOW).state,
    'running',
  );
});

test('a success brings the data of the termination message', () => {
  const message = '{"code":"Succeeded","message":"done","retryable":true,"data":{"storageID":"s"}}';
  const outcome = jobOutcome(job({ type: 'Complete' }), [ended({ exitCode: 0, message })], NOW);
  assert.is(outcome.state, 'succeeded');
  if (outcome.state === 'succeeded') assert.equal(outcome.result.data, { storageID: 's' });
});

test('a success whose Pod is gone is a success without data', () => {
  assert.is(jobOutcome(job({ type: 'Complete' }), [], NOW).state, 'succeeded');
});

const FAILURES: { name: string; job?: Job; pods: Pod[]; code: string; retryable: boolean; says: RegExp }[] = [
  {
    name: 'the runner says why it failed',
    pods: [
      ended({
        exitCode: 1,
        message: '{"code":"DumpFailed","message":"cursor lost","remedy":"try again","retryable":true}',
      }),
    ],
    code: 'DumpFailed',
    retryable: true,
    says: /cursor lost/,
  },
  {
    name: 'exit code 3 is never retried, whatever the message says',
    pods: [ended({ exitCode: 3, message: '{"code":"WrongPassword","message":"no","retryable":true}' })],
    code: 'WrongPassword',
    retryable: false,
    says: /no/,
  },
  {
    name: 'a kill for memory names the limit',
    pods: [pod({ phase: 'Failed', containerStatuses: [{ name: 'backstay', state: { terminated: OOM } }] }, LARGE)],
    code: 'RunnerKilled',
    retryable: true,
    says: /64Mi \(OOMKilled\)/,
  },
  {
    name: 'an eviction brings the words of the kubelet',
    pods: [pod({ phase: 'Failed', reason: 'Evicted', message: 'The node was low on resource: memory.' })],
    code: 'RunnerKilled',
    retryable: true,
    says: /evicted: The node was low/,
  },
  {
    name: 'a drained node is told',
    pods: [
      pod({
        phase: 'Failed',
        conditions: [{ type: 'DisruptionTarget', status: 'True', reason: 'DeletionByTaintManager', message: 'taint' }],
      }),
    ],
    code: 'RunnerKilled',
    retryable: true,
    says: /DeletionByTaintManager/,
  },
  {
    name: 'a runner that said nothing is told by its exit code',
    pods: [ended({ exitCode: 139 })],
    code: 'RunnerKilled',
    retryable: true,
    says: /exit code 139/,
  },
  {
    name: 'words that are not ours are no result',
    pods: [ended({ exitCode: 1, message: 'panic: oh no' })],
    code: 'RunnerKilled',
    retryable: true,
    says: /exit code 1/,
  },
  { name: 'a Pod that is gone is told', pods: [], code: 'RunnerKilled', retryable: true, says: /gone/ },
  {
    name: 'a Pod of another Job does not count',
    pods: [{ ...ended({ exitCode: 0 }), metadata: { name: 'other', ownerReferences: [] } }],
    code: 'RunnerKilled',
    retryable: true,
    says: /gone/,
  },
  {
    name: 'the deadline of the Job names what the Pod waited for',
    job: job({ type: 'Failed', reason: 'DeadlineExceeded' }),
    pods: [
      pod({
        phase: 'Pending',
        conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '0/3 nodes' }],
      }),
    ],
    code: 'DeadlineExceeded',
    retryable: true,
    says: /Unschedulable: 0\/3 nodes/,
  },
];

for (const { name, job: of = failed, pods, code, retryable, says } of FAILURES) {
  test(name, () => {
    const outcome = jobOutcome(of, pods, NOW);
    assert.is(outcome.state, 'failed');
    if (outcome.state !== 'failed') return;
    assert.is(outcome.code, code);
    assert.is(outcome.retryable, retryable);
    assert.match(outcome.message, says);
    assert.is(outcome.finishedAt, Date.parse(ENDED));
  });
}

const HINDRANCES: { name: string; pods: Pod[]; reason: string | undefined }[] = [
  {
    name: 'no node takes it',
    pods: [pod({ phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable' }] })],
    reason: 'Unschedulable',
  },
  {
    name: 'its image cannot be pulled',
    pods: [
      pod({
        phase: 'Pending',
        containerStatuses: [{ name: 'backstay', state: { waiting: { reason: 'ImagePullBackOff' } } }],
      }),
    ],
    reason: 'ImagePullBackOff',
  },
  {
    name: 'a Secret of its environment is missing',
    pods: [
      pod({
        phase: 'Pending',
        containerStatuses: [{ name: 'backstay', state: { waiting: { reason: 'CreateContainerConfigError' } } }],
      }),
    ],
    reason: 'CreateContainerConfigError',
  },
  {
    name: 'an init container hangs',
    pods: [
      pod({
        phase: 'Pending',
        initContainerStatuses: [{ name: 'init', state: { waiting: { reason: 'ErrImagePull' } } }],
      }),
    ],
    reason: 'ErrImagePull',
  },
  { name: 'no Pod was made for an hour', pods: [], reason: 'PodNotCreated' },
  {
    name: 'it is just being created',
    pods: [
      pod({
        phase: 'Pending',
        containerStatuses: [{ name: 'backstay', state: { waiting: { reason: 'ContainerCreating' } } }],
      }),
    ],
    reason: undefined,
  },
];

for (const { name, pods, reason } of HINDRANCES) {
  test(`a running Job tells what hinders its Pod: ${name}`, () => {
    const outcome = jobOutcome(job(), pods, NOW);
    assert.is(outcome.state, 'running');
    if (outcome.state === 'running') assert.is(outcome.hindrance?.reason, reason);
  });
}

test('a termination message is read whatever is in it', () => {
  for (const message of [undefined, '', 'x', '[]', 'null', '{}', '{"code":1}'])
    assert.is(parseResult(message), undefined);
  assert.equal(parseResult('{"code":"X"}\n'), { code: 'X', message: '', retryable: true, data: {} });
  assert.equal(parseResult('{"code":"X","retryable":false,"data":[1],"remedy":""}'), {
    code: 'X',
    message: '',
    retryable: false,
    data: {},
  });
});

test.run();
