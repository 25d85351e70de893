import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

/** What a commit changes: the content of a file, or null to remove it. */
export type Changes = Readonly<Record<string, string | Uint8Array | null>>;

const GIT_ENVIRONMENT = {
  PATH: process.env.PATH ?? '/usr/bin:/bin',
  HOME: '/nonexistent',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_AUTHOR_NAME: 'Ada Author',
  GIT_AUTHOR_EMAIL: 'ada@example.com',
  GIT_COMMITTER_NAME: 'Ada Author',
  GIT_COMMITTER_EMAIL: 'ada@example.com',
};

/** A repository with a work tree to make commits in; it is served from its `.git` folder. */
export class TestRepository {
  readonly folder: string;
  readonly name: string;

  constructor(root: string, name: string) {
    this.name = name;
    this.folder = join(root, name);
    mkdirSync(this.folder, { recursive: true });
    this.git('init', '--quiet', '--initial-branch=main');
  }

  git(...args: string[]): string {
    return execFileSync('git', args, { cwd: this.folder, env: GIT_ENVIRONMENT, encoding: 'utf8' }).trim();
  }

  /** Makes a commit and returns its id. */
  commit(changes: Changes, message = 'Change the policies'): string {
    for (const [path, content] of Object.entries(changes)) {
      const file = join(this.folder, path);
      if (content === null) rmSync(file, { recursive: true });
      else {
        mkdirSync(dirname(file), { recursive: true });
        writeFileSync(file, content);
      }
    }
    this.git('add', '--all');
    this.git('commit', '--quiet', '--allow-empty', '--message', message);
    return this.git('rev-parse', 'HEAD');
  }
}

export interface GitServerOptions {
  /** PEM; the server speaks https with it. */
  certificate?: { certificate: string; key: string };
  /** Answers a request itself when it returns true. */
  intercept?: (request: IncomingMessage, response: ServerResponse) => boolean;
}

/** git http-backend behind a server on loopback. */
export class GitServer {
  readonly root: string;
  readonly requests: { url: string; authorization: string | undefined }[] = [];
  intercept: GitServerOptions['intercept'];
  /** Bytes a second of an answer; as fast as it goes when undefined. */
  throttle: number | undefined;
  readonly #server: Server;
  readonly #scheme: string;
  readonly #children = new Set<ChildProcess>();

  private constructor(options: GitServerOptions) {
    this.root = mkdtempSync(join(tmpdir(), 'backstay-git-'));
    this.intercept = options.intercept;
    const listener: RequestListener = (request, response) => this.#answer(request, response);
    this.#scheme = options.certificate === undefined ? 'http' : 'https';
    this.#server =
      options.certificate === undefined
        ? createServer(listener)
        : createSecureServer({ cert: options.certificate.certificate, key: options.certificate.key }, listener);
  }

  static async start(options: GitServerOptions = {}): Promise<GitServer> {
    const server = new GitServer(options);
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  get origin(): string {
    return `${this.#scheme}://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  repository(name: string): TestRepository {
    return new TestRepository(this.root, name);
  }

  urlOf(repository: TestRepository): string {
    return `${this.origin}/${repository.name}/.git`;
  }

  async stop(): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL');
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    rmSync(this.root, { recursive: true, force: true });
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    this.requests.push({ url: request.url ?? '', authorization: request.headers.authorization });
    if (this.intercept?.(request, response) === true) return;
    const url = new URL(request.url ?? '/', this.origin);
    const child = spawn('git', ['http-backend'], {
      env: {
        ...GIT_ENVIRONMENT,
        GIT_PROJECT_ROOT: this.root,
        GIT_HTTP_EXPORT_ALL: '1',
        REQUEST_METHOD: request.method ?? 'GET',
        PATH_INFO: decodeURIComponent(url.pathname),
        QUERY_STRING: url.search.slice(1),
        CONTENT_TYPE: request.headers['content-type'] ?? '',
        HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
        GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
        REMOTE_ADDR: '127.0.0.1',
        GIT_CONFIG_COUNT: '1',
        GIT_CONFIG_KEY_0: 'safe.directory',
        GIT_CONFIG_VALUE_0: '*',
      },
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    this.#children.add(child);
    child.on('close', () => this.#children.delete(child));
    child.stdin.on('error', () => undefined);
    request.pipe(child.stdin);
    response.on('close', () => child.kill());
    void relay(child.stdout, response, this.throttle);
  }
}

/** Sends what a CGI program prints (RFC 3875, 6) as the answer to a request. */
async function relay(output: Readable, response: ServerResponse, throttle: number | undefined): Promise<void> {
  let head: Buffer<ArrayBufferLike> | undefined = Buffer.alloc(0);
  for await (const chunk of output) {
    let body = chunk as Buffer;
    if (head !== undefined) {
      head = Buffer.concat([head, body]);
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) continue;
      for (const line of head.toString('latin1', 0, end).split('\r\n')) {
        const [, name = '', value = ''] = /^([^:]+):\s*(.*)$/.exec(line) ?? [];
        if (name.toLowerCase() === 'status') response.statusCode = Number.parseInt(value, 10);
        else response.setHeader(name, value);
      }
      body = head.subarray(end + 4);
      head = undefined;
    }
    if (response.destroyed) return;
    response.write(body);
    if (throttle !== undefined) await sleep((body.length / throttle) * 1000);
  }
  response.end();
}
