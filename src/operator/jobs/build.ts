/**
 * The Jobs and CronJobs of Backstay: pure functions from what is to be run to the object.
 *
 * Every Pod meets the restricted Pod Security Standard, writes nowhere but below /tmp, and speaks to its owner through
 * its termination message. A try is one Job with one Pod: whether there is another one is decided by a controller, not by the Job.
 */
import { type Component, componentLabels, withoutTracking } from '../../api/labels.ts';
import type { Container, CronJob, EnvVar, Job, JobSpec, PodTemplate } from '../../kube/builtin.ts';
import type { OwnerReference } from '../../kube/resource.ts';
import { CONTAINER } from './outcome.ts';
import { type ContainerOverlay, overlayContainer, overlaySpec, type PodOverlay } from './overlay.ts';
import type { LocalVolume } from './volumes.ts';

/** What is the same for all Jobs of an operator. */
export interface JobSettings {
  /** Image of the operator, which also is that of the Jobs. */
  image: string;
  /** Laid over every Pod, before anything else is. */
  podTemplate?: PodOverlay;
  pushgatewayURL?: string;
}

/** The container of a Function. */
export interface ContainerRequest {
  image?: string;
  command?: string[];
  args: string[];
  env?: EnvVar[];
  workingDir?: string;
}

export interface JobRequest {
  name: string;
  namespace: string;
  component: Component;
  owner: OwnerReference;
  serviceAccountName: string;
  /** When the Job is stopped, in seconds after its start. */
  deadlineSeconds: number;
  container: ContainerRequest;
  labels?: Record<string, string>;
  /** Of the Job alone. */
  annotations?: Record<string, string>;
  /** Time that the Pod gets to put things right after SIGTERM (unlock a member), in seconds; 30 when left out. */
  graceSeconds?: number;
  /** Laid over the Pod, the first one first. */
  overlays?: readonly (PodOverlay | undefined)[];
  containerSettings?: ContainerOverlay | undefined;
  volumes?: readonly LocalVolume[];
  /** How often the Job itself tries again. Only for work that may be done twice. */
  backoffLimit?: number;
}

// The user `nonroot` of distroless images, which the image of Backstay follows.
const USER = 65_532;
// Room for restic's cache and packs on their way; `emptyDir` volumes above their limit have their Pod evicted.
const TMP_SIZE = '4Gi';

/** The Job for a request. */
export function buildJob(request: JobRequest, settings: JobSettings): Job {
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name: request.name,
      namespace: request.namespace,
      labels: jobLabels(request),
      ...(request.annotations === undefined ? {} : { annotations: request.annotations }),
      ownerReferences: [request.owner],
    },
    spec: jobSpec(request, settings),
  };
}

export interface CronJobRequest extends JobRequest {
  schedule: string;
  timeZone?: string;
  suspend: boolean;
  concurrencyPolicy: 'Allow' | 'Forbid' | 'Replace';
  startingDeadlineSeconds: number;
  successfulJobsHistoryLimit: number;
  failedJobsHistoryLimit: number;
}

/** The CronJob for a request. Its `deadlineSeconds` are those of each Job. */
export function buildCronJob(request: CronJobRequest, settings: JobSettings): CronJob {
  return {
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: {
      name: request.name,
      namespace: request.namespace,
      labels: jobLabels(request),
      // Argo CD judges a CronJob by its last Job; this one's health is that of its BackupConfiguration.
      annotations: { 'argocd.argoproj.io/ignore-healthcheck': 'true', ...request.annotations },
      ownerReferences: [request.owner],
    },
    spec: {
      schedule: request.schedule,
      ...(request.timeZone === undefined ? {} : { timeZone: request.timeZone }),
      suspend: request.suspend,
      concurrencyPolicy: request.concurrencyPolicy,
      startingDeadlineSeconds: request.startingDeadlineSeconds,
      successfulJobsHistoryLimit: request.successfulJobsHistoryLimit,
      failedJobsHistoryLimit: request.failedJobsHistoryLimit,
      jobTemplate: { metadata: { labels: jobLabels(request) }, spec: jobSpec(request, settings) },
    },
  };
}

function jobSpec(request: JobRequest, settings: JobSettings): JobSpec {
  return {
    backoffLimit: request.backoffLimit ?? 0,
    activeDeadlineSeconds: Math.max(1, Math.ceil(request.deadlineSeconds)),
    // Without it a Pod that is being deleted is replaced while it still runs, and two runners would work at once.
    podReplacementPolicy: 'Failed',
    template: podTemplate(request, settings),
  };
}

function podTemplate(request: JobRequest, settings: JobSettings): PodTemplate {
  const volumes = request.volumes ?? [];
  const overlays = [settings.podTemplate, ...(request.overlays ?? [])].filter((overlay) => overlay !== undefined);
  const base: PodTemplate['spec'] = {
    serviceAccountName: request.serviceAccountName,
    restartPolicy: 'Never',
    enableServiceLinks: false,
    terminationGracePeriodSeconds: request.graceSeconds ?? 30,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: USER,
      runAsGroup: USER,
      fsGroup: USER,
      fsGroupChangePolicy: 'OnRootMismatch',
      seccompProfile: { type: 'RuntimeDefault' },
    },
    containers: [baseContainer(request, settings)],
    volumes: [{ name: 'tmp', emptyDir: { sizeLimit: TMP_SIZE } }, ...volumes.map(({ volume }) => volume)],
  };
  const spec = overlays.reduce((each, overlay) => overlaySpec(each, overlay.spec), base);
  const containers = spec.containers.map((container) =>
    container.name === CONTAINER ? overlayContainer(container, request.containerSettings) : container,
  );
  const annotations = Object.assign({}, ...overlays.map(({ metadata }) => withoutTracking(metadata?.annotations)));
  const labels = Object.assign({}, ...overlays.map(({ metadata }) => withoutTracking(metadata?.labels)));
  return {
    metadata: {
      labels: { ...labels, ...jobLabels(request) },
      ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    },
    spec: { ...spec, containers },
  };
}

function baseContainer({ container, volumes = [] }: JobRequest, settings: JobSettings): Container {
  const { command, workingDir } = container;
  return {
    name: CONTAINER,
    image: container.image ?? settings.image,
    ...(command === undefined ? {} : { command }),
    args: container.args,
    ...(workingDir === undefined ? {} : { workingDir }),
    env: [
      { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
      { name: 'POD_NAMESPACE', valueFrom: { fieldRef: { fieldPath: 'metadata.namespace' } } },
      { name: 'TMPDIR', value: '/tmp' },
      { name: 'RESTIC_CACHE_DIR', value: '/tmp/restic-cache' },
      ...(settings.pushgatewayURL === undefined
        ? []
        : [{ name: 'BACKSTAY_PUSHGATEWAY_URL', value: settings.pushgatewayURL }]),
      ...(container.env ?? []),
    ],
    resources: { requests: { cpu: '100m', memory: '128Mi' } },
    securityContext: {
      runAsNonRoot: true,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
      seccompProfile: { type: 'RuntimeDefault' },
    },
    terminationMessagePolicy: 'File',
    volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }, ...volumes.map(({ mount }) => mount)],
  };
}

function jobLabels({ component, labels }: JobRequest): Record<string, string> {
  return { ...labels, ...componentLabels(component) };
}
