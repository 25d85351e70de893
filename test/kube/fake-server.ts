/**
 * An API server that misbehaves on command.
 *
 * It has what the faults need: objects with rising resource versions, LIST in pages, WATCH from a version with bookmarks, and GET, POST,
 * PUT, merge PATCH and DELETE. It has no validation, no server-side apply and no subresources: for those there is a real one.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Client, ConnectOptions } from '../../src/kube/client.ts';
import { fixedEndpoint } from '../../src/kube/endpoint.ts';
import { HttpClient } from '../../src/kube/http-client.ts';
import { defineResource, type KubeObject } from '../../src/kube/resource.ts';
import { Rest } from '../../src/kube/rest.ts';

export interface Thing extends KubeObject {
  spec?: { size?: number };
}
export const Things = defineResource<Thing>('test.example/v1', 'Thing', 'things');

export type Request = {
  kind: 'list' | 'watch' | 'get' | 'write';
  method: string;
  url: URL;
  headers: IncomingMessage['headers'];
};
/** Answers a request its own way; `pass` gives it to the well-behaved server. */
export type Fault = (response: ServerResponse, request: Request, pass: () => void) => void;

interface Change {
  version: number;
  type: 'ADDED' | 'MODIFIED' | 'DELETED';
  object: Thing;
}

export class FakeServer implements AsyncDisposable {
  readonly requests: Request[] = [];
  readonly #server = createServer((request, response) => void this.#handle(request, response));
  readonly #objects = new Map<string, Thing>();
  readonly #changes: Change[] = [];
  readonly #watchers = new Set<{ response: ServerResponse; namespace: string | undefined }>();
  readonly #faults: { kind: Request['kind']; fault: Fault }[] = [];
  #version = 100;
  /** Versions below it are compacted away. */
  #oldest = 0;
  /** Whether the kind exists. */
  installed = true;

  static async start(): Promise<FakeServer> {
    const fake = new FakeServer();
    await new Promise<void>((resolve) => fake.#server.listen(0, '127.0.0.1', resolve));
    return fake;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  client(options: ConnectOptions = {}): Client {
    return new HttpClient(new Rest(fixedEndpoint({ server: this.url, token: 'first' }), options));
  }

  /** The next request of this kind is answered like this; several are used up in their order. */
  next(kind: Request['kind'], ...faults: Fault[]): void {
    for (const fault of faults) this.#faults.push({ kind, fault });
  }

  count(kind: Request['kind']): number {
    return this.requests.filter((request) => request.kind === kind).length;
  }

  /** Creates or changes an object and tells the watchers. */
  put(name: string, size = 0, namespace = 'shop'): Thing {
    const key = `${namespace}/${name}`;
    const before = this.#objects.get(key);
    const version = ++this.#version;
    const uid = before?.metadata.uid ?? `uid-${version}`;
    const metadata = { namespace, name, uid, resourceVersion: String(version), generation: version };
    const object: Thing = { apiVersion: Things.apiVersion, kind: Things.kind, metadata, spec: { size } };
    this.#objects.set(key, object);
    this.#change({ version, type: before === undefined ? 'ADDED' : 'MODIFIED', object });
    return object;
  }

  remove(name: string, namespace = 'shop'): void {
    const before = this.#objects.get(`${namespace}/${name}`);
    if (before === undefined) throw new Error(`there is no ${name}`);
    this.#objects.delete(`${namespace}/${name}`);
    const version = ++this.#version;
    const object = { ...before, metadata: { ...before.metadata, resourceVersion: String(version) } };
    this.#change({ version, type: 'DELETED', object });
  }

  /** Does something that no present watcher is told: the network swallowed it. */
  unseen(action: () => void): void {
    const watchers = [...this.#watchers];
    this.#watchers.clear();
    action();
    for (const watcher of watchers) this.#watchers.add(watcher);
  }

  /** Forgets the history, as etcd does after five minutes. */
  compact(): void {
    this.#oldest = this.#version + 1;
  }

  /** The version that has been reached. */
  get version(): string {
    return String(this.#version);
  }

  /** Sends this to every watcher as it is. */
  send(text: string | Buffer): void {
    for (const { response } of this.#watchers) response.write(text);
  }

  event(type: string, object: object): void {
    this.send(`${JSON.stringify({ type, object })}\n`);
  }

  /** Moves the version along, as changes of other kinds do, and tells the watchers. */
  bookmark(): void {
    this.#version += 10;
    this.event('BOOKMARK', { metadata: { resourceVersion: this.version } });
  }

  /** Ends every watch properly. */
  endWatches(): void {
    for (const { response } of this.#watchers) response.end();
    this.#watchers.clear();
  }

  /** Cuts the connection of every watch. */
  resetWatches(): void {
    for (const { response } of this.#watchers) response.socket?.resetAndDestroy();
    this.#watchers.clear();
  }

  get watchers(): number {
    return this.#watchers.size;
  }

  /** What is stored, by key, as a reader should see it. */
  state(): Record<string, string> {
    return Object.fromEntries(
      [...this.#objects].map(([key, { metadata }]) => [key, metadata.resourceVersion ?? '']).sort(),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #change(change: Change): void {
    this.#changes.push(change);
    for (const { response, namespace } of this.#watchers) {
      if (namespace !== undefined && namespace !== change.object.metadata.namespace) continue;
      response.write(`${JSON.stringify({ type: change.type, object: change.object })}\n`);
    }
  }

  async #handle(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(message.url ?? '/', this.url);
    const match = /\/things(?:\/([^/]+))?$/.exec(url.pathname);
    const namespace = /\/namespaces\/([^/]+)\//.exec(url.pathname)?.[1];
    const watching = url.searchParams.get('watch') === 'true';
    const method = message.method ?? 'GET';
    const kind = method !== 'GET' ? 'write' : watching ? 'watch' : match?.[1] === undefined ? 'list' : 'get';
    const request: Request = { kind, method, url, headers: message.headers };
    this.requests.push(request);
    let body = '';
    for await (const chunk of message) body += chunk;
    const pass = () => {
      if (match === null || !this.installed) return void response.writeHead(404).end('404 page not found\n');
      if (kind === 'watch') this.#watch(response, url, namespace);
      else if (kind === 'list') this.#list(response, url, namespace);
      else this.#object(response, method, `${namespace}/${match[1]}`, body);
    };
    const at = this.#faults.findIndex((each) => each.kind === kind);
    const fault = at < 0 ? undefined : this.#faults.splice(at, 1)[0]?.fault;
    if (fault === undefined) pass();
    else fault(response, request, pass);
  }

  #list(response: ServerResponse, url: URL, namespace: string | undefined): void {
    const limit = Number(url.searchParams.get('limit') ?? 0) || Number.POSITIVE_INFINITY;
    const start = Number(url.searchParams.get('continue') ?? 0);
    const all = [...this.#objects.values()].filter(
      (object) => namespace === undefined || object.metadata.namespace === namespace,
    );
    const items = all.slice(start, start + limit).map(({ apiVersion: _apiVersion, kind: _kind, ...rest }) => rest);
    const end = start + items.length;
    const metadata = { resourceVersion: this.version, ...(end < all.length ? { continue: String(end) } : {}) };
    json(response, 200, { kind: 'ThingList', metadata, items });
  }

  #watch(response: ServerResponse, url: URL, namespace: string | undefined): void {
    const from = Number(url.searchParams.get('resourceVersion') ?? 0);
    if (from < this.#oldest - 1) return void gone(response);
    response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
    for (const change of this.#changes) {
      if (change.version <= from || (namespace !== undefined && namespace !== change.object.metadata.namespace))
        continue;
      response.write(`${JSON.stringify({ type: change.type, object: change.object })}\n`);
    }
    const watcher = { response, namespace };
    this.#watchers.add(watcher);
    response.once('close', () => this.#watchers.delete(watcher));
  }

  #object(response: ServerResponse, method: string, key: string, body: string): void {
    const parsed = (body === '' ? {} : JSON.parse(body)) as Thing;
    const [namespace = '', name = parsed.metadata?.name ?? ''] = key
      .split('/')
      .map((part) => (part === 'undefined' ? undefined : part));
    const present = this.#objects.get(`${namespace}/${name}`);
    if (method === 'POST') {
      if (present !== undefined) return void refuse(response, 409, 'AlreadyExists');
      return void json(response, 201, this.put(name, parsed.spec?.size, namespace));
    }
    if (present === undefined) return void refuse(response, 404, 'NotFound');
    if (method === 'GET') return void json(response, 200, present);
    if (method === 'DELETE') {
      this.remove(name, namespace);
      return void json(response, 200, { kind: 'Status', status: 'Success' });
    }
    const version = parsed.metadata?.resourceVersion;
    if (version !== undefined && version !== present.metadata.resourceVersion)
      return void refuse(response, 409, 'Conflict');
    json(response, 200, this.put(name, parsed.spec?.size, namespace));
  }
}

export function json(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

/** Refuses with a Status. */
export function refuse(response: ServerResponse, code: number, reason: string, more: object = {}): void {
  json(response, code, { kind: 'Status', status: 'Failure', code, reason, message: `${reason} on purpose`, ...more });
}

export function gone(response: ServerResponse): void {
  refuse(response, 410, 'Expired');
}

export const refusing =
  (status: number, reason: string, headers: Record<string, string> = {}): Fault =>
  (response) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    refuse(response, status, reason);
  };

export const resetting: Fault = (response) => response.socket?.resetAndDestroy();
