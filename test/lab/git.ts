import { execFile } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { answerByGit } from './git-http.ts';
import { commonGround, type Ground } from './ground.ts';
import type { Credentials } from './mongod.ts';

const execute = promisify(execFile);

export interface GitServerOptions {
  on?: Ground;
  /** What every request must log in with; without it everybody may read and push. */
  credentials?: Credentials;
}

/** Bare repositories behind HTTP, served by `git http-backend`. */
export interface GitServer extends AsyncDisposable {
  /** `http://host:port`. */
  readonly url: string;
  /** Makes an empty bare repository, whose first branch is `main`. */
  makeRepository(name: string): Promise<GitRepository>;
  /** Requests since the start, oldest first: `GET /shop.git/info/refs?service=git-upload-pack`. */
  readonly requests: readonly string[];
  stop(): Promise<void>;
}

export interface CommitOptions {
  message?: string;
  /** Default `main`; a branch that is not there is made. */
  branch?: string;
  /** Settings for this commit alone, such as `{ 'gpg.format': 'ssh', 'user.signingKey': file, 'commit.gpgSign': 'true' }`. */
  config?: Readonly<Record<string, string>>;
}

export interface GitRepository {
  /** `http://host:port/name.git`, without credentials. */
  readonly url: string;
  /** The bare repository's folder. */
  readonly folder: string;
  /** Writes files (and removes those that are null), commits and pushes over HTTP, as a user would. Gives the commit's id. */
  commit(files: Readonly<Record<string, string | null>>, options?: CommitOptions): Promise<string>;
  /** Runs git in the user's work tree, with the credentials for the server; gives its standard output. */
  git(args: readonly string[]): Promise<string>;
}

export async function startGitServer(options: GitServerOptions = {}): Promise<GitServer> {
  const ground = options.on ?? (await commonGround());
  const [host, port] = [ground.address(), await ground.port()];
  const root = await ground.subfolder(`git-${port}`);
  const url = `http://${host}:${port}`;
  const { credentials } = options;
  const login =
    credentials && `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')}`;
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    if (login !== undefined && request.headers.authorization !== login) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="lab"' }).end();
      return;
    }
    answerByGit(root, request, response);
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, host, resolve));
  server.unref();

  const self: GitServer = {
    url,
    requests,
    async makeRepository(name) {
      const folder = join(root, `${name}.git`);
      await execute('git', ['init', '--quiet', '--bare', '--initial-branch=main', folder], { env: userEnvironment() });
      // Whoever the server let in may push: git's own rule asks for a login that the lab may not have.
      await execute('git', ['--git-dir', folder, 'config', 'http.receivepack', 'true'], { env: userEnvironment() });
      return repository(`${url}/${name}.git`, folder, join(root, `${name}.worktree`), login);
    },
    async stop() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      await rm(root, { recursive: true, force: true });
    },
    [Symbol.asyncDispose]: () => self.stop(),
  };
  return self;
}

async function repository(
  url: string,
  folder: string,
  workTree: string,
  login: string | undefined,
): Promise<GitRepository> {
  const env = userEnvironment(login);
  const git = async (args: readonly string[]): Promise<string> =>
    (await execute('git', args, { cwd: workTree, env })).stdout.trim();
  await mkdir(workTree);
  await git(['init', '--quiet', '--initial-branch=main']);
  await git(['remote', 'add', 'origin', url]);
  return {
    url,
    folder,
    git,
    async commit(files, { message = 'Change the policies', branch = 'main', config = {} } = {}) {
      const current = await git(['branch', '--show-current']);
      if (current !== branch) {
        const known = await git(['branch', '--list', branch]);
        await git(['switch', '--quiet', ...(known === '' ? ['--create'] : []), branch]);
      }
      for (const [name, text] of Object.entries(files)) {
        const path = join(workTree, name);
        if (text === null) await rm(path, { force: true });
        else {
          await mkdir(dirname(path), { recursive: true });
          await writeFile(path, text);
        }
      }
      const settings = Object.entries(config).flatMap(([key, value]) => ['-c', `${key}=${value}`]);
      await git(['add', '--all']);
      await git([...settings, 'commit', '--quiet', '--allow-empty', '--message', message]);
      await git(['push', '--quiet', 'origin', branch]);
      return git(['rev-parse', 'HEAD']);
    },
  };
}

/** A user's git, whatever the machine's settings are; a login goes into the environment, where no list of processes shows it. */
function userEnvironment(login?: string): NodeJS.ProcessEnv {
  const identity = { NAME: 'Ada', EMAIL: 'ada@example.com' };
  return {
    ...process.env,
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    ...Object.fromEntries(
      ['AUTHOR', 'COMMITTER'].flatMap((who) =>
        Object.entries(identity).map(([key, value]) => [`GIT_${who}_${key}`, value]),
      ),
    ),
    ...(login === undefined
      ? {}
      : { GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: 'http.extraHeader', GIT_CONFIG_VALUE_0: `Authorization: ${login}` }),
  };
}
