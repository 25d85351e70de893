/** What an operator is started with, and the Pod template that it lays over every Job. */
import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { BackstayError, describeError } from '../api/errors.ts';
import type { PodOverlay } from './jobs/overlay.ts';

/**
 * Requests of the operator, a second and at once. A hundred PolicySyncs that arrive together ask for thousands of objects that are not there
 * yet; fairness towards others is the API server's own affair (API Priority and Fairness).
 */
export const REQUEST_RATE = { qps: 200, burst: 400 };

export interface OperatorOptions {
  /** Namespace of the operator: where its Lease is. */
  namespace: string;
  /** Name of this process among its replicas. */
  identity: string;
  image: string;
  /** A YAML file with metadata and a partial Pod spec. */
  podTemplate?: string | undefined;
  pushgatewayURL?: string | undefined;
  /** Address of /metrics, /healthz and /readyz; all addresses of the machine when left out. */
  metricsHost?: string | undefined;
  metricsPort: number;
  leaderElect: boolean;
  /** Workers of each controller. */
  concurrency: number;
  /** These namespaces only; all, when left out. */
  watchNamespaces?: readonly string[] | undefined;
}

/**
 * Reads the Pod template.
 *
 * @throws BackstayError PodTemplateInvalid
 */
export async function readPodTemplate(file: string | undefined): Promise<PodOverlay | undefined> {
  if (file === undefined) return undefined;
  const invalid = (why: string, cause?: unknown): BackstayError =>
    new BackstayError('PodTemplateInvalid', `Pod template ${file}: ${why}`, {
      remedy: 'write YAML with metadata and spec, as in a Pod template',
      cause,
    });
  let value: unknown;
  try {
    value = parse(await readFile(file, 'utf8'));
  } catch (error) {
    throw invalid(describeError(error), error);
  }
  if (value === null || value === undefined) return undefined;
  if (!isRecord(value)) throw invalid('it is no map of fields');
  const { metadata, spec } = value;
  if (spec !== undefined && !isRecord(spec)) throw invalid('spec is no map of fields');
  return {
    ...(isRecord(metadata)
      ? { metadata: { labels: texts(metadata.labels), annotations: texts(metadata.annotations) } }
      : {}),
    ...(spec === undefined ? {} : { spec }),
  };
}

function texts(value: unknown): Record<string, string> {
  if (!isRecord(value)) return {};
  return Object.fromEntries(Object.entries(value).map(([key, text]) => [key, String(text)]));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
