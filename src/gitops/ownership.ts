import { API_GROUP } from '../api/group.ts';
import { labelValue } from '../api/labels.ts';
import type { KubeObject } from '../api/meta.ts';

/** Field manager of everything that a PolicySync applies. */
export const FIELD_MANAGER = 'backstay-policysync';

/** Label that says which PolicySync applies an object. */
export const POLICY_SYNC_LABEL = `${API_GROUP}/policysync`;

/** Annotation by which an object says that it is never pruned: `disabled`. */
export const PRUNE_ANNOTATION = `${API_GROUP}/prune`;

/**
 * The value of that label: `<namespace>.<name>`, which no other PolicySync has, because a namespace holds no dot; cut and told apart by
 * a hash when it is longer than a label may be.
 */
export function markOf(policySync: { namespace: string; name: string }): string {
  return labelValue(`${policySync.namespace}.${policySync.name}`);
}

/** Whether an object carries the mark of this PolicySync. */
export function isMarked(object: KubeObject, mark: string): boolean {
  return object.metadata.labels?.[POLICY_SYNC_LABEL] === mark;
}

/** Whether an object asks not to be pruned. */
export function refusesPrune(object: KubeObject): boolean {
  return object.metadata.annotations?.[PRUNE_ANNOTATION] === 'disabled';
}

// Labels and annotations by which tools find what they manage.
const TOOLS: readonly { tool: string; key: string; named: string }[] = [
  { tool: 'Flux', named: 'Kustomization', key: 'kustomize.toolkit.fluxcd.io/name' },
  { tool: 'Flux', named: 'HelmRelease', key: 'helm.toolkit.fluxcd.io/name' },
  { tool: 'Argo CD', named: 'application', key: 'argocd.argoproj.io/tracking-id' },
  { tool: 'Argo CD', named: 'application', key: 'argocd.argoproj.io/instance' },
  { tool: 'Helm', named: 'release', key: 'meta.helm.sh/release-name' },
];

/**
 * Who else manages a live object, in words; undefined if nobody is known to.
 *
 * @param desired what is about to be applied: a mark that is written in git too tells nothing about the live object
 * @param exists whether a PolicySync with this mark is still there; what a deleted one left behind is free
 */
export function otherManager(
  live: KubeObject,
  desired: KubeObject,
  mark: string,
  exists: (mark: string) => boolean,
): string | undefined {
  for (const { tool, named, key } of TOOLS) {
    const value = entryOf(live, key);
    if (value !== undefined && entryOf(desired, key) !== value) return `${tool} (${named} ${value.split(':')[0]})`;
  }
  const other = live.metadata.labels?.[POLICY_SYNC_LABEL];
  return other === undefined || other === mark || !exists(other) ? undefined : `PolicySync ${other.replace('.', '/')}`;
}

function entryOf({ metadata }: KubeObject, key: string): string | undefined {
  return metadata.labels?.[key] ?? metadata.annotations?.[key];
}
