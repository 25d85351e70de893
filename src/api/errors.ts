/** What a reader of an error can do about it, besides reading it. */
export interface ErrorDetails {
  /** What to do next, as an instruction: "create Secret shop/s3 with key AWS_ACCESS_KEY_ID". */
  remedy?: string;
  cause?: unknown;
}

/**
 * The family of every error that Backstay raises on purpose.
 *
 * `code` is stable CamelCase, the same word that becomes a condition's or an Event's reason; `message` says what was wrong and where
 * (kind/namespace/name and field path) and carries no secret; `remedy` says what to do.
 */
export class BackstayError extends Error {
  readonly code: string;
  readonly remedy: string | undefined;

  constructor(code: string, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.remedy = details.remedy;
  }

  override get name(): string {
    return 'BackstayError';
  }
}

/** The message of anything thrown, with its remedy, on one line: what a status or a terminal shows. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const remedy = error instanceof BackstayError && error.remedy !== undefined ? `; ${error.remedy}` : '';
  return `${error.message}${remedy}`.replaceAll(/\s*\n\s*/g, ' ');
}

/** The stable code of anything thrown; what is not ours is `InternalError`. */
export function errorCode(error: unknown): string {
  return error instanceof BackstayError ? error.code : 'InternalError';
}
