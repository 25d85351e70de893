/**
 * The client of the API server: the verbs that the controllers, the webhooks and the command use, for every kind alike.
 *
 * `connect` reads the configuration the way kubectl does (through `KubeConfig` of `@kubernetes/client-node`, imported only then,
 * because the import costs half a second); `http-client.ts` holds the implementation. Tests may stand in for `Client` with anything
 * of its shape.
 */
import type { KubeObject, ObjectMeta, ObjectRef, ResourceType } from './resource.ts';

/** What every request accepts. */
export interface RequestOptions {
  /** Ends the request, its retries and every wait in between; the call rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** How long one attempt may take, in milliseconds; the client's default is 60 000. */
  timeoutMs?: number | undefined;
  /** How often a request that the server did not take is sent again (429, 503, connection reset); the client's default is 5. */
  retries?: number | undefined;
}

export interface WriteOptions extends RequestOptions {
  /** Who the server records as the owner of the fields: `backstay/backupconfiguration`. */
  fieldManager?: string | undefined;
  /** Runs admission and validation, stores nothing. */
  dryRun?: boolean | undefined;
  /** What the server does with fields that the schema does not have: fail, warn (its default) or drop them silently. */
  fieldValidation?: 'Strict' | 'Warn' | 'Ignore' | undefined;
  /** Called with each warning of admission or of the server. */
  onWarning?: ((message: string) => void) | undefined;
}

export interface ApplyOptions extends WriteOptions {
  fieldManager: string;
  /** Takes fields over from other managers instead of failing with a conflict. */
  force?: boolean | undefined;
  subresource?: 'status' | undefined;
  /** Sends `metadata.resourceVersion` along, so that the write fails with a conflict if somebody was faster. */
  sendResourceVersion?: boolean | undefined;
}

export interface PatchOptions extends WriteOptions {
  type: 'merge' | 'json';
  subresource?: 'status' | undefined;
}

export interface DeleteOptions extends RequestOptions {
  propagationPolicy?: 'Background' | 'Foreground' | 'Orphan' | undefined;
  /** Precondition: only this incarnation of the object. */
  uid?: string | undefined;
  /** Precondition: only in this state. */
  resourceVersion?: string | undefined;
  dryRun?: boolean | undefined;
}

export interface ListQuery {
  /** All namespaces when it is left out. */
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  /** Objects per page; the server's `continue` token fetches the next one. */
  limit?: number | undefined;
  continue?: string | undefined;
  resourceVersion?: string | undefined;
  resourceVersionMatch?: 'Exact' | 'NotOlderThan' | undefined;
}

export interface ObjectList<T> {
  metadata: { resourceVersion?: string; continue?: string; remainingItemCount?: number };
  /** Each with `apiVersion` and `kind`, which the server leaves out for built-in kinds. */
  items: T[];
}

export interface WatchQuery {
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  resourceVersion?: string | undefined;
  allowWatchBookmarks?: boolean | undefined;
  /** The server ends the watch after this time, cleanly. */
  timeoutSeconds?: number | undefined;
}

/** A change seen by a watch; a BOOKMARK carries nothing but a resource version. ERROR events are thrown as `KubeError`. */
export type WatchEvent<T> =
  | { type: 'ADDED' | 'MODIFIED' | 'DELETED'; object: T }
  | { type: 'BOOKMARK'; object: { metadata: ObjectMeta } };

export type JsonPatch = (
  | { op: 'add' | 'replace' | 'test'; path: string; value: unknown }
  | { op: 'remove'; path: string }
  | { op: 'move' | 'copy'; path: string; from: string }
)[];

/** Every field of `T` optional, however deep: what server-side apply accepts. */
export type Partially<T> = T extends (infer Item)[]
  ? Partially<Item>[]
  : T extends object
    ? { [Key in keyof T]?: Partially<T[Key]> | undefined }
    : T;

/** The fields that a writer wants to own. `apiVersion` and `kind` come from the resource type. */
export type Applied<T extends KubeObject> = Partially<Omit<T, 'metadata'>> & { metadata: ObjectMeta };

/**
 * Where a bearer token comes from: itself, or a function asked before every request. The function does the caching; it is told when the
 * server refused the last token, so that it can get another one.
 */
export type TokenSource = string | ((refused: boolean) => string | Promise<string>);

export interface IssuedToken {
  token: string;
  /** RFC 3339. */
  expirationTimestamp: string;
}

/** Every rejection is a `KubeError`, except that an aborted call rejects with the reason of its signal. */
export interface Client {
  /** The object, or undefined if there is none. */
  get<T extends KubeObject>(type: ResourceType<T>, ref: ObjectRef, options?: RequestOptions): Promise<T | undefined>;

  /** One page. */
  list<T extends KubeObject>(
    type: ResourceType<T>,
    query?: ListQuery,
    options?: RequestOptions,
  ): Promise<ObjectList<T>>;

  /** Page after page, 500 objects each unless `limit` says otherwise. Fails with 410 if a continue token expires on the way. */
  pages<T extends KubeObject>(
    type: ResourceType<T>,
    query?: ListQuery,
    options?: RequestOptions,
  ): AsyncIterable<ObjectList<T>>;

  /** The objects of all pages. */
  listAll<T extends KubeObject>(type: ResourceType<T>, query?: ListQuery, options?: RequestOptions): Promise<T[]>;

  create<T extends KubeObject>(type: ResourceType<T>, object: NoInfer<T>, options?: WriteOptions): Promise<T>;

  /**
   * Server-side apply: creates the object or merges the given fields into it. What the server keeps (`managedFields`, `generation`,
   * timestamps) is not sent, `resourceVersion` only if asked for; a `uid` is sent and is a precondition.
   */
  apply<T extends KubeObject>(type: ResourceType<T>, object: Applied<NoInfer<T>>, options: ApplyOptions): Promise<T>;

  /** Server-side apply of `status` alone, through the status subresource. */
  applyStatus<T extends KubeObject>(
    type: ResourceType<T>,
    object: Applied<NoInfer<T>>,
    options: Omit<ApplyOptions, 'subresource'>,
  ): Promise<T>;

  /** A merge patch (RFC 7386) or a JSON patch (RFC 6902). */
  patch<T extends KubeObject>(
    type: ResourceType<T>,
    ref: ObjectRef,
    body: object | JsonPatch,
    options: PatchOptions,
  ): Promise<T>;

  /** Writes the whole object; with `metadata.resourceVersion` it fails with a conflict if somebody was faster. */
  replace<T extends KubeObject>(
    type: ResourceType<T>,
    object: NoInfer<T>,
    options?: WriteOptions & { subresource?: 'status' | undefined },
  ): Promise<T>;

  /** False if the object was not there. A conflict if a precondition does not hold. */
  delete(type: ResourceType, ref: ObjectRef, options?: DeleteOptions): Promise<boolean>;

  /**
   * The changes after `resourceVersion`, until the server ends the stream (the iteration then ends too). Never retried: who watches knows
   * where to resume. Throws a `KubeError` on a refusal, an ERROR event, a broken line or a lost connection.
   */
  watch<T extends KubeObject>(
    type: ResourceType<T>,
    query: WatchQuery,
    signal?: AbortSignal,
  ): AsyncIterable<WatchEvent<T>>;

  /** A token for a service account (TokenRequest). */
  createToken(
    ref: { namespace: string; name: string },
    request?: { expirationSeconds?: number | undefined; audiences?: string[] | undefined },
    options?: RequestOptions,
  ): Promise<IssuedToken>;

  /** The text under a path: `/readyz`, `/version`, `/api/v1/namespaces/shop/pods/x/log?tailLines=20`. */
  getText(path: string, options?: RequestOptions): Promise<string>;

  /** The same server and certificate authority under another identity; and the same rate limit, unless it gets one of its own. */
  withToken(token: TokenSource, rate?: RequestRate): Client;

  /**
   * The same client with a check that runs directly before each attempt of a request that changes something, and stops it by throwing.
   * Leader election uses it: a holder that was paused must not write when it resumes.
   */
  withGuard(check: () => void): Client;
}

/** Requests that are sent without waiting: so many a second, and so many at once after a pause. */
export interface RequestRate {
  qps: number;
  burst: number;
}

export interface ConnectOptions {
  /** A file; instead of KUBECONFIG, ~/.kube/config and the service account of the Pod, in this order. */
  kubeconfig?: string | undefined;
  /** A context of it instead of the current one. */
  context?: string | undefined;
  /** Sent to the server as User-Agent: `backstay-operator/0.1.0`. */
  userAgent?: string | undefined;
  /** The client-side rate limit, shared by all calls. Defaults: 50 requests a second, 100 at once. */
  qps?: number | undefined;
  burst?: number | undefined;
  /** Called for every answered attempt; a status of 0 means that there was no answer. */
  onResponse?: ((attempt: { method: string; host: string; status: number }) => void) | undefined;
}

/** A client for the cluster that the configuration names. Fails with `KubeconfigInvalid` where there is none or it cannot be used. */
export async function connect(options: ConnectOptions = {}): Promise<Client> {
  const [{ kubeconfigEndpoint }, { HttpClient }, { Rest }] = await Promise.all([
    import('./kubeconfig.ts'),
    import('./http-client.ts'),
    import('./rest.ts'),
  ]);
  return new HttpClient(new Rest(await kubeconfigEndpoint(options), options));
}
