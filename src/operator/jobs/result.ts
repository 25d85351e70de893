/** What a Job of Backstay leaves behind in /dev/termination-log: one line of JSON, at most 4096 bytes. */
export interface JobResult {
  /** `Succeeded`, or the code of the error. */
  code: string;
  message: string;
  remedy?: string;
  /** Whether the same Job may succeed later without anybody changing anything. */
  retryable: boolean;
  data: Record<string, unknown>;
}

/** Reads a termination message; undefined when there is none or it is not ours (a container of another image, a crash before the first line). */
export function parseResult(message: string | undefined): JobResult | undefined {
  if (message === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(message.trim());
  } catch {
    return undefined;
  }
  if (!isRecord(value) || typeof value.code !== 'string') return undefined;
  return {
    code: value.code,
    message: typeof value.message === 'string' ? value.message : '',
    ...(typeof value.remedy === 'string' && value.remedy !== '' ? { remedy: value.remedy } : {}),
    retryable: value.retryable !== false,
    data: isRecord(value.data) ? value.data : {},
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
