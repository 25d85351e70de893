import { joinPath } from '../causes.ts';
import type { ContainerSettings, PodTemplate } from '../generated/types.ts';
import { isRecord } from '../json.ts';
import type { Findings } from './findings.ts';
import type { Draft } from './rule.ts';

// What a Pod of Backstay is run as and how it ends is not for the overlay to say.
const RESERVED: Readonly<Record<string, string>> = {
  serviceAccountName: 'Backstay makes a service account with least privilege for every Pod',
  serviceAccount: 'Backstay makes a service account with least privilege for every Pod',
  restartPolicy: 'a Pod of Backstay runs once',
};
// Who may write a policy need not be one who may do as they please on a node.
const OF_THE_NODE = ['hostPID', 'hostIPC'];
const CONTAINER_LISTS = ['containers', 'initContainers'];

/** Judges what is laid over a Pod. */
export function checkPodTemplate(findings: Findings, template: Draft<PodTemplate> | undefined, path: string): void {
  const spec: unknown = template?.spec;
  if (!isRecord(spec)) return;
  const at = `${path}.spec`;
  for (const [key, why] of Object.entries(RESERVED)) {
    if (Object.hasOwn(spec, key)) forbid(findings, `${at}.${key}`, `it cannot be set: ${why}`);
  }
  for (const key of OF_THE_NODE) {
    if (spec[key] === true) forbid(findings, `${at}.${key}`, 'it would let the Pod look into the node; remove it');
  }
  if (spec.hostNetwork === true) findings.warn(`${at}.hostNetwork: the Pod sees all traffic of its node`);
  for (const [index, volume] of items(spec.volumes)) {
    if (volume.hostPath === undefined) continue;
    const message = 'a folder of the node cannot be mounted; use another volume, or a BackupStorage of provider local';
    forbid(findings, `${at}.volumes[${index}].hostPath`, message);
  }
  checkSecurityContext(findings, spec.securityContext, `${at}.securityContext`);
  for (const list of CONTAINER_LISTS) {
    for (const [index, container] of items(spec[list])) {
      checkSecurityContext(findings, container.securityContext, `${at}.${list}[${index}].securityContext`);
    }
  }
}

/** Judges what is laid over the container that does the work. */
export function checkContainer(findings: Findings, settings: Draft<ContainerSettings> | undefined, path: string): void {
  checkSecurityContext(findings, settings?.securityContext, `${path}.securityContext`);
}

function checkSecurityContext(findings: Findings, context: unknown, path: string): void {
  if (!isRecord(context)) return;
  for (const key of ['privileged', 'allowPrivilegeEscalation']) {
    if (context[key] === true) forbid(findings, joinPath(path, key), 'it must not be true; remove it');
  }
  const added = isRecord(context.capabilities) ? context.capabilities.add : undefined;
  if (Array.isArray(added) && added.length > 0) {
    forbid(findings, `${path}.capabilities.add`, 'the Pods of Backstay need no capabilities; remove it');
  }
  if (context.procMount !== undefined && context.procMount !== 'Default') {
    forbid(findings, `${path}.procMount`, 'it must be Default; remove it');
  }
}

function forbid(findings: Findings, field: string, message: string): void {
  findings.refuse(field, 'FieldValueForbidden', message);
}

/** The items of a list that are maps, with their indexes. */
function items(list: unknown): [number, Record<string, unknown>][] {
  if (!Array.isArray(list)) return [];
  return [...list.entries()].filter((entry): entry is [number, Record<string, unknown>] => isRecord(entry[1]));
}
