/** What is in Backstay's image: the one list from which both the Dockerfile and the image that is built without Docker are made. */

export const IMAGE_NAME = 'localhost/backstay:dev';

/** The user that the image runs as; the number that distroless images call `nonroot`. */
export const USER = { name: 'backstay', id: 65532 } as const;

/** Node.js and restic, by the versions that the rest of the project is tested with. */
export const NODE_PATH = '/usr/local/bin/node';
export const RESTIC_PATH = '/usr/local/bin/restic';

/** What builds a PolicySync's kustomization; the version that the lab's kubectl has inside. */
export const KUSTOMIZE_PATH = '/usr/local/bin/kustomize';
export const KUSTOMIZE_VERSION = '5.8.1';

/** Programs of the base system, with the Debian package that each is in. */
export const SYSTEM: readonly { package: string; programs: readonly string[] }[] = [
  { package: 'dash', programs: ['/usr/bin/dash'] }, // git runs an ssh command with arguments through a shell
  { package: 'git', programs: ['/usr/bin/git', '/usr/lib/git-core/git-remote-http'] },
  { package: 'gpg', programs: ['/usr/bin/gpg'] }, // git verify-commit calls it
  { package: 'openssh-client', programs: ['/usr/bin/ssh', '/usr/bin/ssh-keygen'] },
];

/** Names under which programs are found besides their own; Debian's packages bring the same links. */
export const LINKS: readonly { path: string; target: string }[] = [
  { path: '/bin', target: 'usr/bin' },
  { path: '/sbin', target: 'usr/sbin' },
  { path: '/lib', target: 'usr/lib' },
  { path: '/lib64', target: 'usr/lib64' },
  { path: '/usr/bin/sh', target: 'dash' },
  { path: '/usr/lib/git-core/git', target: '../../bin/git' },
  { path: '/usr/lib/git-core/git-remote-https', target: 'git-remote-http' },
];

/** Files of the base system that are data. */
export const DATA: readonly { package: string; files: readonly string[] }[] = [
  { package: 'ca-certificates', files: ['/etc/ssl/certs/ca-certificates.crt'] },
];

/** What of this repository is in the image, below `/app`; what is not there yet is left out. */
export const APP_FOLDER = '/app';
export const APP: readonly string[] = ['package.json', 'src', 'webhook', 'schemas', 'policies'];

/** Files of a dependency that no program reads at run time: sources and types, source maps, and documents other than licences. */
export const NOT_AT_RUN_TIME = /\.(?:ts|mts|cts|map|md|markdown|flow|tsbuildinfo)$/i;

export const ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: '/usr/local/bin:/usr/bin:/bin',
  NODE_ENV: 'production',
  // The root file system is read-only in a Pod: what a program keeps for itself goes where an emptyDir is mounted.
  HOME: '/tmp',
};

/** Pod arguments are the command's own: `["operator"]`, `["job", "backup", …]`. */
export const ENTRYPOINT: readonly string[] = [NODE_PATH, `${APP_FOLDER}/src/cli/main.ts`];
