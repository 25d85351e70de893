/**
 * Laying a user's partial Pod over the one that Backstay makes: the part of the strategic merge of `kubectl patch` that Pods need.
 *
 * Objects are merged, containers by name; volumes, variables and mounts replace the one of the same name (or path), because two
 * sources of one volume would be invalid; tolerations are added; everything else is replaced.
 */

/** Metadata and a partial Pod spec, as `PodTemplate` of the API has it. */
export interface PodOverlay {
  metadata?: { labels?: Record<string, string>; annotations?: Record<string, string> };
  spec?: Record<string, unknown>;
}

/** What is laid over the one container of Backstay, as `ContainerSettings` of the API has it. */
export interface ContainerOverlay {
  resources?: Record<string, unknown>;
  env?: unknown[];
  securityContext?: Record<string, unknown>;
}

/** Fields of a Pod spec that belong to Backstay: its access rights and the end of the Job depend upon them. */
const OWN_FIELDS = new Set(['serviceAccountName', 'serviceAccount', 'restartPolicy', 'activeDeadlineSeconds']);

const MERGED_LISTS: Record<string, { key: string; deep: boolean }> = {
  containers: { key: 'name', deep: true },
  initContainers: { key: 'name', deep: true },
  volumes: { key: 'name', deep: false },
  env: { key: 'name', deep: false },
  imagePullSecrets: { key: 'name', deep: false },
  volumeMounts: { key: 'mountPath', deep: false },
};

/** The Pod spec with an overlay on top. Neither argument is changed. */
export function overlaySpec<T extends object>(spec: T, overlay: Record<string, unknown> | undefined): T {
  if (overlay === undefined) return spec;
  const allowed = Object.fromEntries(Object.entries(overlay).filter(([field]) => !OWN_FIELDS.has(field)));
  return merge(spec, allowed) as T;
}

/** A container with settings on top. */
export function overlayContainer<T extends object>(container: T, settings: ContainerOverlay | undefined): T {
  return settings === undefined ? container : (merge(container, settings) as T);
}

function merge(base: unknown, overlay: unknown): unknown {
  if (!isObject(base) || !isObject(overlay)) return overlay;
  const merged = new Map<string, unknown>(Object.entries(base));
  for (const [field, value] of Object.entries(overlay)) {
    const current = merged.get(field);
    if (value === undefined || value === null) continue;
    if (Array.isArray(current) && Array.isArray(value)) merged.set(field, mergeLists(field, current, value));
    else merged.set(field, merge(current, value));
  }
  return Object.fromEntries(merged);
}

function mergeLists(field: string, base: unknown[], overlay: unknown[]): unknown[] {
  if (field === 'tolerations') return [...base, ...overlay];
  const rule = MERGED_LISTS[field];
  if (rule === undefined) return overlay;
  const merged = [...base];
  for (const item of overlay) {
    const at = merged.findIndex((each) => isObject(each) && isObject(item) && each[rule.key] === item[rule.key]);
    if (at < 0) merged.push(item);
    else merged[at] = rule.deep ? merge(merged[at], item) : item;
  }
  return merged;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
