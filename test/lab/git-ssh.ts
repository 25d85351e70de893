import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { OWN_LIBRARIES, tool } from '../../scripts/tools/tool.ts';
import { commonGround, type Ground } from './ground.ts';
import { startProcess, until } from './process.ts';

const execute = promisify(execFile);

/** Repositories behind a real OpenSSH server, which lets one key in and runs nothing but git. */
export interface GitSSH extends AsyncDisposable {
  /** `ssh://git@host:port`; the path of a repository on this machine follows. */
  readonly url: string;
  /** The private key that is let in. */
  readonly identity: string;
  /** The server's line of a known_hosts file. */
  readonly knownHosts: string;
  stop(): Promise<void>;
}

// What sshd demands of the machine (an account `sshd`, one to log in as, a folder in /run) it finds in a mount namespace of its own: the
// machine's files stay as they are, and nothing is left when the process ends. `git` has root's number, so that it may read the
// repositories of a test, which belong to root; its shell runs git's own commands alone.
const ACCOUNTS = `root:*:0:0::/root:/usr/sbin/nologin
git:*:0:0::/nonexistent:/usr/bin/git-shell
sshd:*:65534:65534::/run/sshd:/usr/sbin/nologin
`;
const ENTER = `mount --bind "$1" /etc/passwd && mount -t tmpfs -o mode=755 tmpfs /run && mkdir -m 755 /run/sshd || exit
shift; exec "$@"`;

/** Starts sshd on the loopback network of the ground; needs root. */
export async function startGitSSH(options: { on?: Ground } = {}): Promise<GitSSH> {
  const [program, ground] = await Promise.all([tool('sshd'), options.on ?? commonGround()]);
  const [host, port] = [ground.address(), await ground.port()];
  const folder = await ground.subfolder(`ssh-${port}`);
  const file = (name: string): string => join(folder, name);
  for (const name of ['host', 'user'])
    await execute('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', file(name)]);
  await writeFile(file('passwd'), ACCOUNTS, { mode: 0o644 });
  await writeFile(file('authorized_keys'), `restrict ${await readFile(file('user.pub'), 'utf8')}`);
  await writeFile(
    file('sshd_config'),
    [
      `ListenAddress ${host}:${port}`,
      `HostKey ${file('host')}`,
      `AuthorizedKeysFile ${file('authorized_keys')}`,
      'AuthenticationMethods publickey',
      'AllowUsers git',
      'PermitRootLogin prohibit-password', // root's number counts as root
      'StrictModes no', // the folder of a lab lies below one that everybody may write to
      'UsePAM no',
      'PidFile none',
      '',
    ].join('\n'),
  );
  const libraries = join(dirname(program), '../..', OWN_LIBRARIES);
  const command = [program, '-D', '-e', '-f', file('sshd_config')];
  const process = startProcess(
    ground,
    `sshd-${port}`,
    'unshare',
    ['--mount', '--propagation', 'private', 'sh', '-c', ENTER, 'sh', file('passwd'), ...command],
    { env: { LD_LIBRARY_PATH: libraries } },
  );
  await until('sshd listens', () => listens(host, port), { process });
  const [type, key] = (await readFile(file('host.pub'), 'utf8')).split(' ');
  const self: GitSSH = {
    url: `ssh://git@${host}:${port}`,
    identity: await readFile(file('user'), 'utf8'),
    knownHosts: `[${host}]:${port} ${type} ${key}\n`,
    stop: () => process.end(),
    [Symbol.asyncDispose]: () => self.stop(),
  };
  return self;
}

function listens(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
