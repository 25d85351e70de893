import { BackstayError } from '../api/errors.ts';

/** What a text of restic, or of the service behind it, says is wrong. */
export interface Diagnosis {
  code: string;
  remedy: string;
  /** Whether trying again soon may help; otherwise restic's own quarter of an hour of retries is a waste. */
  transient: boolean;
}

interface Rule extends Diagnosis {
  pattern: RegExp;
}

/**
 * The words of services and of restic, in the order in which they are looked for: what is more exact comes first.
 *
 * Seen on Amazon S3, MinIO and versitygw, Google Cloud Storage, Azure Blob Storage and local folders.
 */
const RULES: Rule[] = [
  {
    code: 'DiskFull',
    pattern:
      /no space left on device|disk quota exceeded|StorageFull|minimum free drive|insufficient storage|QuotaExceeded/i,
    remedy: 'make room in the storage, or let a retention policy remove more',
    transient: false,
  },
  {
    code: 'BucketNotFound',
    pattern:
      /bucket does not exist|NoSuchBucket|bucket doesn't exist|ContainerNotFound|container does not exist|Bucket name (cannot|contains)|invalid bucket name/i,
    remedy: 'create the bucket or container, or correct its name in the BackupStorage',
    transient: false,
  },
  {
    code: 'BackendDenied',
    pattern:
      /access ?denied|forbidden|\b40[13]\b|SignatureDoesNotMatch|signature we calculated|access key id|InvalidAccessKey|InvalidToken|ExpiredToken|security token|AuthenticationFailed|AuthorizationFailure|AuthorizationPermissionMismatch|failed to authenticate|invalid_grant|could not find default credentials|no valid credential|permission denied|operation not permitted|read-only file system/i,
    remedy:
      'check the keys in the Secret of the BackupStorage, and that they may list, read, write and delete in the bucket or folder',
    transient: false,
  },
  {
    code: 'TLSFailed',
    pattern: /x509:|tls:|certificate|HTTP response to HTTPS client|malformed HTTP response/i,
    remedy:
      'check the scheme of the endpoint, and put the certificate of its authority into the Secret as CA_CERT_DATA',
    transient: false,
  },
  {
    code: 'BackendUnreachable',
    pattern:
      /connection refused|no such host|i\/o timeout|connection reset|broken pipe|no route to host|network is unreachable|server misbehaving|deadline exceeded|request timeout|timed out|\bEOF\b|SlowDown|please reduce your request|\b50[0234]\b|input\/output error|stale NFS|transport endpoint/i,
    remedy: 'check the endpoint in the BackupStorage, and that the network lets the Pod reach it',
    transient: true,
  },
  {
    code: 'ResticSnapshotNotFound',
    pattern: /no matching ID found/i,
    remedy: 'see with restic snapshots what is in the repository',
    transient: false,
  },
  {
    code: 'RepositoryDamaged',
    pattern:
      /ciphertext verification failed|invalid data returned|hash mismatch|does not match|pack .* (damaged|truncated)|not found in index|unable to load (tree|blob)/i,
    remedy: 'run restic check on the repository, and restic repair where it says so',
    transient: false,
  },
];

/** The first rule that a text of restic matches. */
export function diagnose(text: string): Diagnosis | undefined {
  // The wait before the next try is a number that could be taken for a status.
  const words = text.replaceAll(/retrying after [0-9.hmsµn]+/g, 'retrying');
  const rule = RULES.find(({ pattern }) => pattern.test(words));
  return rule === undefined ? undefined : { code: rule.code, remedy: rule.remedy, transient: rule.transient };
}

/** How a restic process ended. */
export interface Ending {
  exitCode: number | null;
  signal: NodeJS.Signals | null;
  /** The end of what it wrote to its standard error, redacted. */
  stderr: string;
}

/**
 * Turns the end of a restic process into an error. Exit codes as restic 0.17 and later define them: 10 no repository, 11 locked,
 * 12 wrong password, 130 interrupted; 1 and 3 are told apart by the text.
 *
 * @param doing what was being done, as it fits behind "cannot"
 */
export function resticFailure(ending: Ending, doing: string, location: string): BackstayError {
  const said = lastWords(ending.stderr);
  const describe = (what: string) => `cannot ${doing} in ${location}: ${what}`;
  switch (ending.exitCode) {
    case 10:
      return new BackstayError('RepositoryNotFound', describe('there is no repository'), {
        remedy: 'check the storage and the path of the Repository; a new one is made by the operator',
      });
    case 11:
      return new BackstayError('RepositoryLocked', describe(said), {
        remedy: 'wait for the other process; what a dead one left is removed after 30 minutes, or with restic unlock',
      });
    case 12:
      return new BackstayError('WrongPassword', describe('the password opens no key of the repository'), {
        remedy: 'put the password that the repository was made with into the encryption Secret as RESTIC_PASSWORD',
      });
    case 130:
      return new BackstayError('Interrupted', describe('restic was interrupted'));
    default:
  }
  if (ending.exitCode === null) {
    const killed = ending.signal === 'SIGKILL' ? ', perhaps for want of memory' : '';
    return new BackstayError('ResticKilled', describe(`restic was ended by ${ending.signal ?? 'a signal'}${killed}`), {
      remedy: 'look at the memory limit of the container',
    });
  }
  // What restic said last names the cause; the retries before it explain a last word such as "context canceled".
  const diagnosis = diagnose(said) ?? diagnose(ending.stderr);
  if (diagnosis === undefined) return new BackstayError('ResticFailed', describe(said));
  return new BackstayError(diagnosis.code, describe(said), { remedy: diagnosis.remedy });
}

/** The message of restic's last line of JSON, or its last line: the one sentence that is worth showing. */
export function lastWords(stderr: string): string {
  const lines = stderr.split('\n').filter((line) => line.trim() !== '');
  for (const line of lines.toReversed()) {
    const message = messageOf(line);
    if (message !== undefined) return message;
  }
  return lines.at(-1)?.trim() ?? 'restic said nothing';
}

function messageOf(line: string): string | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const parsed: unknown = JSON.parse(line);
    if (typeof parsed !== 'object' || parsed === null || !('message' in parsed)) return undefined;
    const { message } = parsed;
    if (typeof message !== 'string') return undefined;
    // The first line is the cause; the next ones repeat the location.
    return message
      .split('\n')[0]
      ?.replace(/^(Fatal: )+/, '')
      .replaceAll(': Fatal: ', ': ')
      .trim();
  } catch {
    return undefined;
  }
}
