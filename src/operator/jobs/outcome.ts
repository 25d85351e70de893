/**
 * What became of a Job, read from the Job and its Pods: a pure function.
 *
 * The runner says how it went in its termination message; where it could not (killed, evicted, never started) the reason is read from
 * what the kubelet, the scheduler and the Job controller left in the objects.
 */
import type { ContainerStatus, Job, Pod } from '../../kube/builtin.ts';
import { type JobResult, parseResult } from './result.ts';

/** Name of the container that does the work, in every Job of Backstay. */
export const CONTAINER = 'backstay';

/** Something that keeps a Pod from running, which may still pass by itself. */
export interface Hindrance {
  /** One CamelCase word: `Unschedulable`, `ImagePullBackOff`, `PodNotCreated`, …. */
  reason: string;
  message: string;
}

export interface Failure {
  code: string;
  message: string;
  remedy?: string;
  /** Whether a new try may succeed without anybody changing anything. */
  retryable: boolean;
  data: Record<string, unknown>;
}

export type Outcome =
  | { state: 'running'; hindrance?: Hindrance }
  | { state: 'succeeded'; result: JobResult; finishedAt: number }
  | ({ state: 'failed'; finishedAt: number } & Failure);

/** How long a Job may be without a Pod before that is worth a word, in milliseconds. */
const POD_EXPECTED_MS = 15_000;

/** Reasons of a waiting container that do not pass without help. */
const STUCK = new Set([
  'ImagePullBackOff',
  'ErrImagePull',
  'ErrImageNeverPull',
  'InvalidImageName',
  'CreateContainerConfigError',
  'CreateContainerError',
  'RunContainerError',
]);

/** Reads the outcome of a Job. `pods` are those of this Job, in any order; `now` is in milliseconds since 1970. */
export function jobOutcome(job: Job, pods: readonly Pod[], now: number): Outcome {
  const pod = newestPod(job, pods);
  const complete = condition(job, 'Complete');
  if (complete !== undefined) {
    const result = parseResult(terminationOf(pod)?.message);
    return {
      state: 'succeeded',
      result: result ?? { code: 'Succeeded', message: '', retryable: true, data: {} },
      finishedAt: timeOf(job.status?.completionTime ?? complete.lastTransitionTime, now),
    };
  }
  const failed = condition(job, 'Failed');
  if (failed === undefined) {
    const hindrance = hindranceOf(job, pod, now);
    return hindrance === undefined ? { state: 'running' } : { state: 'running', hindrance };
  }
  const finishedAt = timeOf(failed.lastTransitionTime, now);
  if (failed.reason === 'DeadlineExceeded') {
    const hindrance = hindranceOf(job, pod, now);
    const detail = hindrance === undefined ? '' : ` (${hindrance.reason}: ${hindrance.message})`;
    return { state: 'failed', finishedAt, ...deadlineFailure(`Job ${job.metadata.name}`, detail) };
  }
  return { state: 'failed', finishedAt, ...failureOf(job, pod) };
}

/** The failure of work that took too long. */
export function deadlineFailure(what: string, detail = ''): Failure {
  return {
    code: 'DeadlineExceeded',
    message: `${what} was stopped: it ran past its deadline${detail}`,
    remedy: 'raise the timeout if the database needs longer, or see the log of the Pod for what it waited for',
    retryable: true,
    data: {},
  };
}

/** The failure of a Job that was deleted while it ran. */
export function disappeared(name: string): Failure {
  return {
    code: 'JobDisappeared',
    message: `Job ${name} was deleted before it ended`,
    remedy: 'find out who deletes Jobs labelled app.kubernetes.io/managed-by=backstay',
    retryable: true,
    data: {},
  };
}

function failureOf(job: Job, pod: Pod | undefined): Failure {
  const name = job.metadata.name;
  if (pod === undefined) {
    return killed(
      `the Pod of Job ${name} is gone: it was deleted, or its node was`,
      'try again; see the Events of the Job',
    );
  }
  const podName = pod.metadata.name;
  const terminated = terminationOf(pod);
  if (terminated?.reason === 'OOMKilled') {
    const limit = pod.spec?.containers.find((container) => container.name === CONTAINER)?.resources?.limits?.memory;
    const limited = limit === undefined ? 'the memory of its node' : `its memory limit of ${limit}`;
    return killed(
      `the runner in Pod ${podName} was killed for using more than ${limited} (OOMKilled)`,
      'raise resources.limits.memory in containerRuntimeSettings',
    );
  }
  const result = parseResult(terminated?.message);
  if (result !== undefined && result.code !== 'Succeeded') {
    const { code, message, remedy, retryable, data } = result;
    return {
      code,
      message,
      ...(remedy === undefined ? {} : { remedy }),
      retryable: retryable && terminated?.exitCode !== 3,
      data,
    };
  }
  if (pod.status?.reason === 'Evicted') {
    return killed(
      `Pod ${podName} was evicted: ${pod.status.message ?? 'its node ran short of resources'}`,
      'give the Pod requests that match its use',
    );
  }
  const disruption = pod.status?.conditions?.find(
    ({ type, status }) => type === 'DisruptionTarget' && status === 'True',
  );
  if (disruption !== undefined) {
    return killed(
      `Pod ${podName} was disrupted (${disruption.reason ?? 'DisruptionTarget'}): ${disruption.message ?? 'no message'}`,
      'try again',
    );
  }
  if (terminated !== undefined) {
    const why = terminated.reason === undefined || terminated.reason === 'Error' ? '' : ` (${terminated.reason})`;
    return {
      ...killed(
        `the runner in Pod ${podName} ended with exit code ${terminated.exitCode}${why} and said nothing of why`,
        `see kubectl logs ${podName}`,
      ),
      retryable: terminated.exitCode !== 3,
    };
  }
  return killed(
    `Pod ${podName} ended before its container did (${pod.status?.reason ?? 'no reason'}): ${pod.status?.message ?? 'no message'}`,
    'try again',
  );
}

function killed(message: string, remedy: string): Failure {
  return { code: 'RunnerKilled', message, remedy, retryable: true, data: {} };
}

/** What keeps a Pod from running, if anything. */
function hindranceOf(job: Job, pod: Pod | undefined, now: number): Hindrance | undefined {
  if (pod === undefined) {
    const age = now - timeOf(job.metadata.creationTimestamp, now);
    if (age < POD_EXPECTED_MS) return undefined;
    return {
      reason: 'PodNotCreated',
      message: `Job ${job.metadata.name} has no Pod: a quota or an admission rule may refuse it; see its Events`,
    };
  }
  const scheduled = pod.status?.conditions?.find(({ type }) => type === 'PodScheduled');
  if (scheduled?.status === 'False') {
    return { reason: scheduled.reason ?? 'Unschedulable', message: scheduled.message ?? 'no node takes the Pod' };
  }
  const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
  for (const { name, state } of statuses) {
    const reason = state?.waiting?.reason;
    if (reason !== undefined && STUCK.has(reason)) {
      return {
        reason,
        message: state?.waiting?.message ?? `container ${name} of Pod ${pod.metadata.name} does not start`,
      };
    }
  }
  return undefined;
}

function terminationOf(pod: Pod | undefined): NonNullable<ContainerStatus['state']>['terminated'] {
  const statuses = pod?.status?.containerStatuses ?? [];
  const status = statuses.find(({ name }) => name === CONTAINER) ?? statuses[0];
  return status?.state?.terminated ?? status?.lastState?.terminated;
}

function newestPod(job: Job, pods: readonly Pod[]): Pod | undefined {
  const own = pods.filter(({ metadata }) => metadata.ownerReferences?.some(({ uid }) => uid === job.metadata.uid));
  return own.reduce<Pod | undefined>(
    (newest, pod) =>
      newest === undefined || (pod.metadata.creationTimestamp ?? '') > (newest.metadata.creationTimestamp ?? '')
        ? pod
        : newest,
    undefined,
  );
}

function condition(job: Job, type: string) {
  return job.status?.conditions?.find((each) => each.type === type && each.status === 'True');
}

function timeOf(time: string | undefined, otherwise: number): number {
  return time === undefined ? otherwise : Date.parse(time);
}
