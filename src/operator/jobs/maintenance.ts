/** Jobs that are tried again until they succeed: the pure step from a due try to its Job. */

import type { BackupStorage } from '../../api/generated/types.ts';
import type { Component } from '../../api/labels.ts';
import type { Job } from '../../kube/builtin.ts';
import type { OwnerReference } from '../../kube/resource.ts';
import { ATTEMPT_ANNOTATION, FAILURES_ANNOTATION, FINGERPRINT_ANNOTATION } from './attempts.ts';
import { buildJob, type JobSettings } from './build.ts';
import type { PodOverlay } from './overlay.ts';
import { localVolumes } from './volumes.ts';

export interface MaintenanceRequest {
  name: string;
  namespace: string;
  component: Component;
  owner: OwnerReference;
  serviceAccountName: string;
  /** Arguments of the `backstay` command. */
  args: string[];
  labels: Record<string, string>;
  deadlineSeconds: number;
  storages?: readonly BackupStorage[];
  overlays?: readonly (PodOverlay | undefined)[];
}

/** The Job of a try. */
export function maintenanceJob(
  request: MaintenanceRequest,
  due: { attempt: number; failures: number },
  fingerprint: string,
  settings: JobSettings,
): Job {
  const { args, storages = [], overlays, ...rest } = request;
  return buildJob(
    {
      ...rest,
      container: { args },
      annotations: {
        [ATTEMPT_ANNOTATION]: `${due.attempt}`,
        [FAILURES_ANNOTATION]: `${due.failures}`,
        [FINGERPRINT_ANNOTATION]: fingerprint,
      },
      volumes: localVolumes(storages),
      overlays: [...storages.map(({ spec }) => spec.runtimeSettings), ...(overlays ?? [])],
    },
    settings,
  );
}
