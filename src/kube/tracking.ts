/**
 * Labels and annotations that belong to the tools which manage an object, and to nobody else.
 *
 * Copied to a generated object they mislead: Argo CD and Flux would take it for a part of their source and prune it.
 */

const TRACKING_KEYS = new Set([
  'app.kubernetes.io/instance',
  'app.kubernetes.io/managed-by',
  'app.kubernetes.io/created-by',
]);

/** Every key under these domains, and under their subdomains. */
const TRACKING_DOMAINS = [
  'argoproj.io',
  'toolkit.fluxcd.io',
  'fluxcd.io',
  'helm.sh',
  'kubectl.kubernetes.io',
  'kustomize.config.k8s.io',
];

/** Whether a label or annotation is a tool's own mark. */
export function isTracking(key: string): boolean {
  if (TRACKING_KEYS.has(key)) return true;
  const slash = key.indexOf('/');
  if (slash < 0) return false;
  const domain = key.slice(0, slash);
  return TRACKING_DOMAINS.some((each) => domain === each || domain.endsWith(`.${each}`));
}

/** The labels or annotations that a generated object may inherit. */
export function withoutTracking(labels: Readonly<Record<string, string>> | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(labels ?? {}).filter(([key]) => !isTracking(key)));
}
