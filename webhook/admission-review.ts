import type { Cause } from '../src/api/causes.ts';
import { isRecord } from '../src/api/json.ts';

/** The part of admission.k8s.io/v1 AdmissionRequest that is read. */
export interface AdmissionRequest {
  uid: string;
  kind: { group: string; version: string; kind: string };
  operation: 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';
  subResource: string;
  namespace: string;
  name: string;
  /** Who asks. */
  user: string;
  /** The object as it would be stored; null on DELETE. */
  object: unknown;
  /** The object as it is stored; null on CREATE. */
  oldObject: unknown;
}

/** One step of a JSON patch: the webhook only ever adds. */
export interface AddOperation {
  op: 'add';
  path: string;
  value: unknown;
}

/** What the webhook decided. */
export interface Decision {
  causes: Cause[];
  warnings: string[];
  patch: AddOperation[];
}

/** admission.k8s.io/v1 AdmissionReview with a response. */
export interface AdmissionAnswer {
  apiVersion: typeof REVIEW_VERSION;
  kind: 'AdmissionReview';
  response: {
    uid: string;
    allowed: boolean;
    status?: StatusAnswer;
    warnings?: string[];
    patchType?: 'JSONPatch';
    patch?: string;
  };
}

/** metav1.Status with what kubectl shows of it. */
interface StatusAnswer {
  status: 'Failure';
  code: number;
  reason: string;
  message: string;
  details?: { name: string; group: string; kind: string; causes: Cause[] };
}

export const REVIEW_VERSION = 'admission.k8s.io/v1';

// A Status is for a person to read; the API server's own lists are no longer than this either way.
const SHOWN_CAUSES = 20;
const OPERATIONS = ['CREATE', 'UPDATE', 'DELETE', 'CONNECT'] as const;

/** Reads the body of a request. @returns why it is none, in place of a request */
export function parseReview(body: unknown): AdmissionRequest | string {
  if (!isRecord(body) || body.kind !== 'AdmissionReview') return 'the body must be an AdmissionReview';
  if (body.apiVersion !== REVIEW_VERSION) return `the AdmissionReview must be of ${REVIEW_VERSION}`;
  const { request } = body;
  if (!isRecord(request)) return 'the AdmissionReview has no request';
  const { uid, kind, operation } = request;
  if (typeof uid !== 'string' || uid === '') return 'the request has no uid';
  if (!isRecord(kind) || typeof kind.kind !== 'string') return 'the request has no kind';
  const known = OPERATIONS.find((one) => one === operation);
  if (known === undefined) return 'the request has no operation that is known';
  return {
    uid,
    kind: { group: text(kind.group), version: text(kind.version), kind: kind.kind },
    operation: known,
    subResource: text(request.subResource),
    namespace: text(request.namespace),
    name: text(request.name),
    user: isRecord(request.userInfo) ? text(request.userInfo.username) : '',
    object: request.object ?? null,
    oldObject: request.oldObject ?? null,
  };
}

/** The answer that carries a decision: 422 with the causes of a refusal, 403 when all of it is forbidden rather than wrong. */
export function answer(request: AdmissionRequest, { causes, warnings, patch }: Decision): AdmissionAnswer {
  const allowed = causes.length === 0;
  return wrap({
    uid: request.uid,
    allowed,
    ...(allowed ? {} : { status: refusal(request, causes) }),
    ...(warnings.length === 0 ? {} : { warnings }),
    // Without a change there must be no patch, or the API server would decode and compare for nothing.
    ...(patch.length === 0 || !allowed
      ? {}
      : { patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(patch)).toString('base64') }),
  });
}

/** The answer to a request that cannot be judged. */
export function answerFailure(uid: string, code: number, reason: string, message: string): AdmissionAnswer {
  return wrap({ uid, allowed: false, status: { status: 'Failure', code, reason, message } });
}

function refusal(request: AdmissionRequest, causes: Cause[]): StatusAnswer {
  const { kind, group } = request.kind;
  const name = request.name || nameOf(request.object ?? request.oldObject);
  const shown = causes.slice(0, SHOWN_CAUSES);
  const more = causes.length - shown.length;
  const words = shown.map(({ field, message }) => `${field}: ${message}`).join('; ');
  const forbidden = causes.every((cause) => cause.reason === 'FieldValueForbidden');
  if (more > 0) shown.push({ field: `(${more} more)`, reason: 'FieldValueInvalid', message: 'not shown' });
  return {
    status: 'Failure',
    code: forbidden ? 403 : 422,
    reason: forbidden ? 'Forbidden' : 'Invalid',
    message: `${kind} "${name}" is ${forbidden ? 'forbidden' : 'invalid'}: ${words}${more > 0 ? `; and ${more} more` : ''}`,
    details: { name, group, kind, causes: shown },
  };
}

function wrap(response: AdmissionAnswer['response']): AdmissionAnswer {
  return { apiVersion: REVIEW_VERSION, kind: 'AdmissionReview', response };
}

function nameOf(object: unknown): string {
  const metadata = isRecord(object) && isRecord(object.metadata) ? object.metadata : {};
  return text(metadata.name) || `${text(metadata.generateName)}*`;
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
