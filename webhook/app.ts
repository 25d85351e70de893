import express, { type ErrorRequestHandler, type Express, type Request, type RequestHandler } from 'express';
import { API_GROUP } from '../src/api/group.ts';
import { isKind } from '../src/api/kinds.ts';
import type { Lookup } from '../src/api/rules/rule.ts';
import type { Log } from '../src/kube/log.ts';
import { type AdmissionAnswer, type AdmissionRequest, answer, answerFailure, parseReview } from './admission-review.ts';
import { mutate, validate } from './decide.ts';
import type { WebhookMetrics } from './metrics.ts';

/** What the webhook answers from. */
export interface AppOptions {
  lookup: Lookup;
  /** What is still missing before requests should come here; nothing when it is ready. */
  missing: () => readonly string[];
  metrics: WebhookMetrics;
  log: Log;
  now?: () => Date;
}

// Two objects of 3 MB, the most that the API server takes, and 1 MB for the rest of an AdmissionReview.
const BODY_LIMIT = 7 * 1024 * 1024;

/** The admission webhook as an express application: POST /mutate and /validate, GET /healthz and /readyz. */
export function createApp(options: AppOptions): Express {
  const app = express().disable('x-powered-by').disable('etag');
  const body = express.raw({ type: 'application/json', limit: BODY_LIMIT, inflate: false });
  app.post('/mutate', requireJson, body, reviewHandler('mutate', mutate, options));
  app.post('/validate', requireJson, body, reviewHandler('validate', validate, options));
  app.use(createHealth(options.missing));
  app.use(refuseBody);
  return app;
}

/** GET /healthz and /readyz; the latter answers 503 and names what is missing. */
export function createHealth(missing: () => readonly string[]): Express {
  const app = express().disable('x-powered-by').disable('etag');
  app.get('/healthz', (_, response) => {
    response.type('text').send('ok\n');
  });
  app.get('/readyz', (_, response) => {
    const waiting = missing();
    if (waiting.length === 0) response.type('text').send('ok\n');
    else
      response
        .status(503)
        .type('text')
        .send(`waiting for ${waiting.join(', ')}\n`);
  });
  return app;
}

const requireJson: RequestHandler = (request, response, next) => {
  // An empty body has no type worth looking at; both are told apart for whoever tries by hand.
  if (request.headers['content-length'] === '0') response.status(400).type('text').send('the body is empty\n');
  else if (request.is('application/json') === false) {
    response.status(400).type('text').send('the Content-Type must be application/json\n');
  } else next();
};

function reviewHandler(webhook: 'mutate' | 'validate', decide: typeof validate, options: AppOptions): RequestHandler {
  const { metrics, log, lookup, now = () => new Date() } = options;
  return (request, response) => {
    const started = performance.now();
    const review = readReview(request);
    if (typeof review === 'string') {
      response.status(400).type('text').send(`${review}\n`);
      return;
    }
    const result = respond(review, () => now(), decide, lookup, log);
    const { kind } = review.kind;
    const labels = { webhook, kind: isKind(kind) ? kind : 'other', operation: review.operation };
    metrics.reviewed({ ...labels, allowed: result.response.allowed }, (performance.now() - started) / 1000);
    response.json(result);
  };
}

function readReview(request: Request): AdmissionRequest | string {
  const body: unknown = request.body;
  if (!Buffer.isBuffer(body) || body.length === 0) return 'the body is empty';
  try {
    return parseReview(JSON.parse(body.toString('utf8')));
  } catch {
    // A SyntaxError, or a RangeError where it nests without end.
    return 'the body is not JSON';
  }
}

function respond(
  request: AdmissionRequest,
  now: () => Date,
  decide: typeof validate,
  lookup: Lookup,
  log: Log,
): AdmissionAnswer {
  const { uid, kind, subResource } = request;
  if (kind.group !== API_GROUP || !isKind(kind.kind)) {
    return answerFailure(uid, 400, 'BadRequest', `${kind.kind} of ${kind.group} is no kind that this webhook judges`);
  }
  // Status and scale hold nothing that a rule speaks of; a rule that came to match them must not stop controllers.
  if (subResource !== '') return answer(request, { causes: [], warnings: [], patch: [] });
  if (request.object === null && (request.operation === 'CREATE' || request.operation === 'UPDATE')) {
    return answerFailure(uid, 400, 'BadRequest', 'the request has no object');
  }
  try {
    return answer(request, decide(kind.kind, request, lookup, now()));
  } catch (error) {
    log.error({ uid, kind: kind.kind, name: request.name, err: error }, 'A request could not be judged');
    return answerFailure(uid, 500, 'InternalError', 'the request could not be judged; the log of the webhook says why');
  }
}

const refuseBody: ErrorRequestHandler = (error: { status?: number }, _request, response, _next) => {
  const status = error.status === 413 ? 413 : 400;
  const why = status === 413 ? `the body is larger than ${BODY_LIMIT} bytes` : 'the body cannot be read';
  response.status(status).type('text').send(`${why}\n`);
};
