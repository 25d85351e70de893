import { BackstayError } from '../api/errors.ts';

/** Samples by metric name; undefined ones are left out. */
export type Samples = Readonly<Record<string, number | undefined>>;

const TIMEOUT_MS = 5000;

/** Where samples belong: the labels that the Pushgateway groups by. The same run of the same thing replaces what it pushed before. */
export type Grouping = Readonly<Record<string, string>>;

/** The samples in the text format of Prometheus. */
export function formatSamples(samples: Samples): string {
  const lines: string[] = [];
  for (const [name, value] of Object.entries(samples)) {
    if (value === undefined || !Number.isFinite(value)) continue;
    lines.push(`# TYPE ${name} gauge`, `${name} ${value}`);
  }
  return `${lines.join('\n')}\n`;
}

/** The URL of a group. Values with a slash, or empty, are in base64, as the Pushgateway's README has it. */
export function groupURL(base: string, grouping: Grouping): string {
  const parts = Object.entries(grouping).map(([name, value]) =>
    value === '' || value.includes('/')
      ? `${name}@base64/${Buffer.from(value).toString('base64url') || '='}`
      : `${name}/${encodeURIComponent(value)}`,
  );
  return [base.replace(/\/+$/, ''), 'metrics', 'job', 'backstay', ...parts].join('/');
}

/**
 * Pushes samples. POST replaces metrics of the same name and leaves others of the group, so that a failed run does not take away the time
 * of the last good one.
 */
export async function pushMetrics(base: string, grouping: Grouping, samples: Samples): Promise<void> {
  let status: number;
  try {
    const response = await fetch(groupURL(base, grouping), {
      method: 'POST',
      headers: { 'content-type': 'text/plain; version=0.0.4' },
      body: formatSamples(samples),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    await response.body?.cancel();
    status = response.status;
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    throw pushFailure(cause instanceof Error ? cause.message : String(cause), error);
  }
  if (status >= 300) throw pushFailure(`it answered with status ${status}`);
}

function pushFailure(why: string, cause?: unknown): BackstayError {
  return new BackstayError('MetricsNotPushed', `the Pushgateway did not take the metrics: ${why}`, {
    remedy: 'check the address of the Pushgateway and that the network lets the Pod reach it',
    cause,
  });
}
