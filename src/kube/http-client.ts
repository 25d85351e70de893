/**
 * `Client` over HTTP: the path, the body and the content type of every verb, the same for all kinds.
 */

import { ServiceAccounts } from './builtin.ts';
import type {
  Applied,
  ApplyOptions,
  Client,
  DeleteOptions,
  IssuedToken,
  JsonPatch,
  ListQuery,
  ObjectList,
  PatchOptions,
  RequestOptions,
  RequestRate,
  TokenSource,
  WatchEvent,
  WatchQuery,
  WriteOptions,
} from './client.ts';
import { describeTarget, isNotFound, KubeError, type RequestTarget, statusError } from './kube-error.ts';
import { collectionPath, objectPath } from './paths.ts';
import type { KubeObject, ObjectRef, ResourceType } from './resource.ts';
import type { Call, Rest } from './rest.ts';

const PAGE = 500;

export class HttpClient implements Client {
  readonly #rest: Rest;

  constructor(rest: Rest) {
    this.#rest = rest;
  }

  async get<T extends KubeObject>(
    type: ResourceType<T>,
    ref: ObjectRef,
    options: RequestOptions = {},
  ): Promise<T | undefined> {
    const target = { verb: 'get', type, ref };
    try {
      return await this.#rest.json<T>(
        { target, method: 'GET', path: objectPath(type, ref), idempotent: true },
        options,
      );
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async list<T extends KubeObject>(
    type: ResourceType<T>,
    query: ListQuery = {},
    options: RequestOptions = {},
  ): Promise<ObjectList<T>> {
    const { namespace, ...rest } = query;
    const target = { verb: 'list', type, ref: { namespace } };
    const path = collectionPath(type, namespace);
    const page = await this.#rest.json<ObjectList<T>>(
      { target, method: 'GET', path, query: rest, idempotent: true },
      options,
    );
    const items = page.items ?? [];
    for (const item of items) {
      item.apiVersion ??= type.apiVersion;
      item.kind ??= type.kind;
    }
    return { metadata: page.metadata ?? {}, items };
  }

  async *pages<T extends KubeObject>(
    type: ResourceType<T>,
    query: ListQuery = {},
    options: RequestOptions = {},
  ): AsyncGenerator<ObjectList<T>> {
    let page = await this.list(type, { limit: PAGE, ...query }, options);
    yield page;
    while (page.metadata.continue) {
      // The token fixes the version; the server refuses both together.
      const { resourceVersion: _version, resourceVersionMatch: _match, ...rest } = query;
      page = await this.list(type, { limit: PAGE, ...rest, continue: page.metadata.continue }, options);
      yield page;
    }
  }

  async listAll<T extends KubeObject>(
    type: ResourceType<T>,
    query: ListQuery = {},
    options: RequestOptions = {},
  ): Promise<T[]> {
    const objects: T[] = [];
    for await (const page of this.pages(type, query, options)) objects.push(...page.items);
    return objects;
  }

  create<T extends KubeObject>(type: ResourceType<T>, object: NoInfer<T>, options: WriteOptions = {}): Promise<T> {
    const { namespace, name, generateName } = object.metadata;
    const target = { verb: 'create', type, ref: { namespace, name: name ?? generateName ?? '' } };
    const path = collectionPath(type, namespace);
    return this.#write({ target, method: 'POST', path, body: typed(type, object), idempotent: false }, options);
  }

  apply<T extends KubeObject>(type: ResourceType<T>, object: Applied<NoInfer<T>>, options: ApplyOptions): Promise<T> {
    const { subresource, force, sendResourceVersion = false } = options;
    const ref = refIn(object);
    const target = { verb: subresource === undefined ? 'apply' : `apply the ${subresource} of`, type, ref };
    return this.#write(
      {
        target,
        method: 'PATCH',
        path: objectPath(type, ref, subresource),
        query: { force },
        body: applyBody(type, object, subresource, sendResourceVersion),
        // YAML by name; JSON is a part of it.
        contentType: 'application/apply-patch+yaml',
        idempotent: true,
      },
      options,
    );
  }

  applyStatus<T extends KubeObject>(
    type: ResourceType<T>,
    object: Applied<NoInfer<T>>,
    options: Omit<ApplyOptions, 'subresource'>,
  ): Promise<T> {
    return this.apply(type, object, { ...options, subresource: 'status' });
  }

  patch<T extends KubeObject>(
    type: ResourceType<T>,
    ref: ObjectRef,
    body: object | JsonPatch,
    options: PatchOptions,
  ): Promise<T> {
    const { subresource } = options;
    const merge = options.type === 'merge';
    return this.#write(
      {
        target: { verb: 'patch', type, ref },
        method: 'PATCH',
        path: objectPath(type, ref, subresource),
        body,
        contentType: merge ? 'application/merge-patch+json' : 'application/json-patch+json',
        idempotent: merge,
      },
      options,
    );
  }

  replace<T extends KubeObject>(
    type: ResourceType<T>,
    object: NoInfer<T>,
    options: WriteOptions & { subresource?: 'status' | undefined } = {},
  ): Promise<T> {
    const ref = refIn(object);
    const path = objectPath(type, ref, options.subresource);
    return this.#write(
      { target: { verb: 'replace', type, ref }, method: 'PUT', path, body: typed(type, object), idempotent: true },
      options,
    );
  }

  async delete(type: ResourceType, ref: ObjectRef, options: DeleteOptions = {}): Promise<boolean> {
    const { propagationPolicy, uid, resourceVersion, dryRun } = options;
    const preconditions = uid === undefined && resourceVersion === undefined ? undefined : { uid, resourceVersion };
    const body = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      propagationPolicy,
      preconditions,
      ...(dryRun ? { dryRun: ['All'] } : {}),
    };
    const path = objectPath(type, ref);
    try {
      await this.#rest.json(
        { target: { verb: 'delete', type, ref }, method: 'DELETE', path, body, idempotent: true },
        options,
      );
      return true;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }

  async *watch<T extends KubeObject>(
    type: ResourceType<T>,
    query: WatchQuery,
    signal?: AbortSignal,
  ): AsyncGenerator<WatchEvent<T>> {
    const { namespace, ...rest } = query;
    const target = { verb: 'watch', type, ref: { namespace } };
    const call: Call = {
      target,
      method: 'GET',
      path: collectionPath(type, namespace),
      query: { watch: true, ...rest },
      idempotent: true,
    };
    for await (const line of this.#rest.lines(call, signal)) yield watchEvent<T>(target, line);
  }

  async createToken(
    ref: { namespace: string; name: string },
    request: { expirationSeconds?: number | undefined; audiences?: string[] | undefined } = {},
    options: RequestOptions = {},
  ): Promise<IssuedToken> {
    const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { audiences: [], ...request } };
    const path = objectPath(ServiceAccounts, ref, 'token');
    const target = { verb: 'create a token for', type: ServiceAccounts, ref };
    // Two tokens harm nobody, so a lost answer may be asked for again.
    const { status } = await this.#rest.json<{ status: IssuedToken }>(
      { target, method: 'POST', path, body, idempotent: true },
      options,
    );
    return { token: status.token, expirationTimestamp: status.expirationTimestamp };
  }

  getText(path: string, options: RequestOptions = {}): Promise<string> {
    return this.#rest.text(
      { target: { verb: 'get', path }, method: 'GET', path, accept: '*/*', idempotent: true },
      options,
    );
  }

  withToken(token: TokenSource, rate?: RequestRate): Client {
    return new HttpClient(this.#rest.withToken(token, rate));
  }

  withGuard(check: () => void): Client {
    return new HttpClient(this.#rest.withGuard(check));
  }

  #write<T>(call: Call, options: WriteOptions): Promise<T> {
    const { fieldManager, dryRun, fieldValidation, onWarning } = options;
    const query = { ...call.query, fieldManager, fieldValidation, dryRun: dryRun ? 'All' : undefined };
    return this.#rest.json<T>({ ...call, query, onWarning }, options);
  }
}

function watchEvent<T>(target: RequestTarget, line: string): WatchEvent<T> {
  let event: WatchEvent<T> | { type: 'ERROR'; object: unknown };
  try {
    event = JSON.parse(line) as typeof event;
  } catch (error) {
    throw new KubeError(`Cannot ${describeTarget(target)}: a line of the stream is not JSON`, {
      status: 0,
      reason: 'BrokenStream',
      cause: error,
    });
  }
  if (event.type === 'ERROR') throw statusError(target, event.object);
  return event;
}

function typed<T extends KubeObject>(type: ResourceType, object: T): T {
  return { ...object, apiVersion: type.apiVersion, kind: type.kind };
}

function refIn(object: { metadata: { namespace?: string; name?: string } }): ObjectRef {
  return { namespace: object.metadata.namespace, name: object.metadata.name ?? '' };
}

/** Without what the server keeps: an applied `managedFields` is refused, and a stale timestamp would be claimed as ours. */
function applyBody<T extends KubeObject>(
  type: ResourceType,
  object: Applied<T>,
  subresource: 'status' | undefined,
  sendResourceVersion: boolean,
): object {
  const {
    managedFields: _fields,
    generation: _generation,
    creationTimestamp: _created,
    deletionTimestamp: _deleted,
    ...rest
  } = object.metadata;
  const { resourceVersion, ...metadata } = rest;
  const version = sendResourceVersion && resourceVersion !== undefined ? { resourceVersion } : {};
  const { apiVersion, kind } = type;
  if (subresource !== undefined) {
    // Anything but the status would be ignored, yet a label listed here would still become this manager's field.
    const { namespace, name, uid } = metadata;
    const status = 'status' in object ? { status: object.status } : {};
    return { apiVersion, kind, metadata: { namespace, name, uid, ...version }, ...status };
  }
  return { ...object, apiVersion, kind, metadata: { ...metadata, ...version } };
}
