/**
 * Refusals of the API server and requests that never reached it, as one error class.
 *
 * The API server answers an error with a `Status` object (meta/v1) whose `reason` is a stable word; it becomes the error's `code`.
 */
import { BackstayError, type ErrorDetails } from '../api/errors.ts';
import { groupOf, keyFor, type ObjectRef, type ResourceType } from './resource.ts';

/** One of several things wrong with an object: the path of the field and what is the matter with it. */
export interface StatusCause {
  field: string;
  message: string;
  reason: string;
}

/** What a request was about, for messages: "apply CronJob shop/nightly". */
export interface RequestTarget {
  verb: string;
  type?: ResourceType | undefined;
  ref?: Partial<ObjectRef> | undefined;
  path?: string | undefined;
}

interface KubeErrorFields extends ErrorDetails {
  status: number;
  reason: string;
  causes?: StatusCause[];
  retryAfterSeconds?: number | undefined;
}

export class KubeError extends BackstayError {
  /** The HTTP status; 0 if there was no answer. */
  readonly status: number;
  /** The server's word (`NotFound`, `Conflict`, `Invalid`, …), or ours: `Unreachable`, `RequestTimeout`, `BrokenStream`. */
  readonly reason: string;
  /** Field by field, of an `Invalid` object. */
  readonly causes: readonly StatusCause[];
  readonly retryAfterSeconds: number | undefined;

  constructor(message: string, { status, reason, causes = [], retryAfterSeconds, ...details }: KubeErrorFields) {
    super(reason, message, details);
    this.status = status;
    this.reason = reason;
    this.causes = causes;
    this.retryAfterSeconds = retryAfterSeconds;
  }

  override get name(): string {
    return 'KubeError';
  }
}

/** The words for a target: "apply CronJob shop/nightly", "watch CronJobs in namespace shop". */
export function describeTarget({ verb, type, ref, path }: RequestTarget): string {
  if (type === undefined) return `${verb} ${path ?? ''}`.trim();
  if (ref?.name !== undefined && ref.name !== '') return `${verb} ${type.kind} ${keyFor(ref.namespace, ref.name)}`;
  const scope = !type.namespaced ? '' : ref?.namespace ? ` in namespace ${ref.namespace}` : ' in all namespaces';
  return `${verb} ${type.plural}${scope}`;
}

/**
 * The error for an answer with an error status.
 * @param body the text of the answer: a Status in JSON, or whatever a proxy in between wrote.
 * @param retryAfter the header, in seconds or as an HTTP date.
 */
export function answerError(target: RequestTarget, status: number, body: string, retryAfter?: string): KubeError {
  return statusError(
    target,
    parseStatus(body) ?? { message: body.trim().slice(0, 300) },
    status,
    parseRetryAfter(retryAfter),
  );
}

/** The error for a Status object, from an answer or from an ERROR event of a watch. */
export function statusError(
  target: RequestTarget,
  status: unknown,
  httpStatus?: number,
  retryAfter?: number,
): KubeError {
  const fields = record(status);
  const details = record(fields.details);
  const answered = httpStatus ?? (typeof fields.code === 'number' ? fields.code : 500);
  const said = text(fields.message) || `the server answered ${answered}`;
  const undeclared = undeclaredField(said);
  const code = undeclared === undefined ? answered : 422;
  const reason = undeclared === undefined ? text(fields.reason) || reasonFor(code) : 'Invalid';
  const causes = undeclared === undefined ? causesOf(details.causes) : [undeclared];
  const message =
    code === 422 && causes.length > 0 ? causes.map((cause) => `${cause.field}: ${cause.message}`).join('; ') : said;
  const retryAfterSeconds =
    retryAfter ?? (typeof details.retryAfterSeconds === 'number' ? details.retryAfterSeconds : undefined);
  const remedy = remedyFor(target, code);
  return new KubeError(`Cannot ${describeTarget(target)}: ${message}`, {
    status: code,
    reason,
    causes,
    retryAfterSeconds,
    ...(remedy === undefined ? {} : { remedy }),
  });
}

/** Field by field, each once (some checks run twice), and without the dumps of values that the server likes to add. */
function causesOf(causes: unknown): StatusCause[] {
  const seen = new Map<string, StatusCause>();
  for (const each of Array.isArray(causes) ? causes.map(record) : []) {
    const cause = { field: text(each.field), message: withoutDump(text(each.message)), reason: text(each.reason) };
    seen.set(`${cause.field} ${cause.message}`, cause);
  }
  return [...seen.values()];
}

/** `Invalid value: {…a whole Pod template…}: field is immutable` is of no use in a status, and may hold what nobody should read there. */
function withoutDump(message: string): string {
  return message.replace(/^((?:Invalid|Duplicate|Unsupported) value): (?:[{[][\s\S]*[}\]]|"[\s\S]{60,}"): /, '$1: ');
}

/** Server-side apply answers 500 for a field that the schema does not have, though only the sender can mend it. */
function undeclaredField(message: string): StatusCause | undefined {
  const [, field, problem] =
    /failed to create typed patch object \([^)]*\): (?:errors:\s*)?\.?(\S+): (field not declared in schema)/.exec(
      message,
    ) ?? [];
  return field === undefined || problem === undefined
    ? undefined
    : { field, message: problem, reason: 'FieldValueInvalid' };
}

/** The error for a request without an answer. */
export function unreachable(target: RequestTarget, host: string, cause: unknown): KubeError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new KubeError(`Cannot ${describeTarget(target)}: no answer from ${host} (${why})`, {
    status: 0,
    reason: 'Unreachable',
    cause,
  });
}

/** Seconds from a Retry-After header (RFC 9110, 10.2.3), or undefined. */
export function parseRetryAfter(header: string | undefined, now = Date.now()): number | undefined {
  if (header === undefined) return undefined;
  if (/^\s*[0-9]+\s*$/.test(header)) return Number(header);
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, Math.ceil((date - now) / 1000));
}

const has = (error: unknown, status: number): error is KubeError =>
  error instanceof KubeError && error.status === status;

export const isNotFound = (error: unknown): error is KubeError => has(error, 404);
/**
 * Somebody else wrote first, or a precondition does not hold. (409 also says AlreadyExists, which is not one. An apply with the uid of
 * another incarnation is told that the uid is immutable.)
 */
export const isConflict = (error: unknown): error is KubeError =>
  (has(error, 409) && error.reason !== 'AlreadyExists') || (has(error, 422) && error.causes.some(isForeignUid));
export const isAlreadyExists = (error: unknown): error is KubeError =>
  has(error, 409) && error.reason === 'AlreadyExists';
/** The resource version or the continue token is too old: list again. */
export const isGone = (error: unknown): error is KubeError => has(error, 410);
export const isForbidden = (error: unknown): error is KubeError => has(error, 403);
export const isUnauthorized = (error: unknown): error is KubeError => has(error, 401);
export const isInvalid = (error: unknown): error is KubeError => has(error, 422);
export const isTooManyRequests = (error: unknown): error is KubeError => has(error, 429);

/** An `Invalid` for no other reason than that fields may not change: a Job's template, a Role binding's role. */
export function isImmutable(error: unknown): error is KubeError {
  if (!isInvalid(error) || error.causes.length === 0 || error.causes.some(isForeignUid)) return false;
  return error.causes.every((cause) => /immutable|cannot change roleRef/i.test(cause.message));
}

function isForeignUid(cause: StatusCause): boolean {
  return cause.field === 'metadata.uid';
}

/** The namespace is being deleted, so nothing can be created in it any more. */
export function isNamespaceTerminating(error: unknown): error is KubeError {
  return isForbidden(error) && error.causes.some((cause) => cause.reason === 'NamespaceTerminating');
}

/** The server has not seen this resource version yet: it was restored, or is a replica that lags behind. */
export function isVersionTooLarge(error: unknown): error is KubeError {
  return error instanceof KubeError && error.causes.some((cause) => cause.reason === 'ResourceVersionTooLarge');
}

function remedyFor(target: RequestTarget, code: number): string | undefined {
  if (code === 401) return 'check the credentials of this client';
  if (code !== 403 || target.type === undefined) return undefined;
  const group = groupOf(target.type);
  const resource = group === '' ? target.type.plural : `${target.type.plural}.${group}`;
  return `check with: kubectl auth can-i ${RBAC_VERBS[target.verb] ?? target.verb} ${resource} --as <this account>`;
}

/** Where the word for a reader and the verb of an RBAC rule differ. */
const RBAC_VERBS: Record<string, string> = { apply: 'patch', replace: 'update', 'create a token for': 'create' };

const REASONS: Record<number, string> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  409: 'Conflict',
  410: 'Expired',
  413: 'RequestEntityTooLarge',
  422: 'Invalid',
  429: 'TooManyRequests',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

function reasonFor(code: number): string {
  return REASONS[code] ?? 'InternalError';
}

function parseStatus(body: string): Record<string, unknown> | undefined {
  try {
    const parsed = record(JSON.parse(body));
    return parsed.kind === 'Status' ? parsed : undefined;
  } catch {
    return undefined;
  }
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
