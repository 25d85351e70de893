import { writeFileSync } from 'node:fs';
import { BackstayError, describeError, errorCode } from '../api/errors.ts';

/** How a Job ended, as its owner reads it from the termination message. */
export interface JobResult {
  /** Succeeded, or the code of the error. */
  code: string;
  message: string;
  remedy?: string;
  /** Whether the same Job may succeed later without anybody changing anything. */
  retryable: boolean;
  data: Record<string, unknown>;
}

/** What the kubelet keeps of a termination message, in bytes. */
const LIMIT = 4096;
const DEFAULT_PATH = '/dev/termination-log';

/** Failures that somebody has to mend first: objects, keys and passwords that are wrong or missing, and requests that contradict what is there. */
const PERMANENT = new Set([
  'AppBindingInvalid',
  'ArchiveDamaged',
  'ArchiveMissing',
  'ArchiveTruncated',
  'ArchivesOverlap',
  'AuthenticationFailed',
  'BackendDenied',
  'BucketNotFound',
  'ComponentNotFound',
  'ConfigurationNotFound',
  'DatabaseNameConflict',
  'DatabasePrimaryDiffers',
  'FeatureCompatibilityTooOld',
  'HashMismatch',
  'InvalidPattern',
  'InvalidURI',
  'LoadFailed',
  'MergeUnsupported',
  'MissingPrivilege',
  'OplogWithSelection',
  'ParameterInvalid',
  'PathInvalid',
  'RepositoryDamaged',
  'RepositoryReplaced',
  'ResticMissing',
  'RestoreIncomplete',
  'SecretKeyMissing',
  'ServerTooOld',
  'SessionNotFound',
  'ShardMappingInvalid',
  'ShardMissing',
  'SnapshotInvalid',
  'SnapshotNotFound',
  'SnapshotUnsupported',
  'StorageInvalid',
  'TLSFailed',
  'TargetDiffers',
  'TargetNotEmpty',
  'TooFewShards',
  'UnsupportedCluster',
  'UnsupportedServer',
  'UnsupportedTopology',
  'WrongPassword',
]);

/** Refusals for the moment. */
const REFUSED = new Set(['AnotherSessionRunning', 'LockRefused', 'MemberLocked', 'Paused', 'RepositoryLocked']);

/** The result of a failure, without secrets. */
export function failureResult(error: unknown, redact: (text: string) => string): JobResult {
  const code = errorCode(error);
  const remedy = error instanceof BackstayError ? error.remedy : undefined;
  const message = error instanceof BackstayError ? error.message : describeError(error);
  return {
    code,
    message: redact(message.replaceAll(/\s*\n\s*/g, ' ')),
    ...(remedy === undefined ? {} : { remedy: redact(remedy) }),
    retryable: !PERMANENT.has(code),
    data: error instanceof JobFailure ? error.data : {},
  };
}

/** A failure that has something to report besides: what was achieved all the same. */
export class JobFailure extends BackstayError {
  readonly data: Record<string, unknown>;

  constructor(error: unknown, message: string, data: Record<string, unknown>) {
    const remedy = error instanceof BackstayError ? error.remedy : undefined;
    super(errorCode(error), message, { ...(remedy === undefined ? {} : { remedy }), cause: error });
    this.data = data;
  }
}

/** 0 done, 1 failed and may be tried again, 3 failed until somebody mends something, 4 refused for the moment. */
export function exitCodeOf({ code, retryable }: JobResult): 0 | 1 | 3 | 4 {
  if (code === 'Succeeded') return 0;
  if (REFUSED.has(code)) return 4;
  return retryable ? 1 : 3;
}

/** The result as one line of JSON of at most 4096 bytes: the data goes first, then the message is cut. */
export function terminationMessage(result: JobResult): string {
  const whole = JSON.stringify(result);
  if (Buffer.byteLength(whole) <= LIMIT) return whole;
  const bare = { ...result, data: {} };
  let { message } = result;
  let text = JSON.stringify(bare);
  // A character takes one to six bytes in JSON, so the message is shortened by the share that it is too long.
  while (Buffer.byteLength(text) > LIMIT && message.length > 0) {
    message = message.slice(0, Math.floor((message.length * (LIMIT - 100)) / Buffer.byteLength(text)));
    text = JSON.stringify({ ...bare, message: `${message}…` });
  }
  return text;
}

/** Leaves the result where the kubelet looks for it; outside a Pod there is no such place, which does not matter. */
export function writeTermination(result: JobResult, env: NodeJS.ProcessEnv = process.env): void {
  try {
    writeFileSync(env.BACKSTAY_TERMINATION_LOG ?? DEFAULT_PATH, terminationMessage(result));
  } catch {
    // The log has it too.
  }
}
