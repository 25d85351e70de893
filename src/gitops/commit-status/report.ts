import type { PolicySync, PolicySyncStatusCommitStatus } from '../../api/generated/types.ts';
import { describeChanges, isStalling, type Outcome } from '../status.ts';
import { describeFailure } from '../wording.ts';

/** What a git server is to be told about a commit. */
export interface Report {
  commit: string;
  /** The branch or tag that led to it. */
  ref: string | undefined;
  state: 'Pending' | 'Success' | 'Failure';
  /** Of a failure, in one word. */
  reason: string | undefined;
  description: string;
  /** Name of the status. */
  context: string;
}

const MAX_CONTEXT = 255;

/** The report when the first object of a commit is about to be written. */
export function reportStart(policySync: PolicySync, revision: string): Report | undefined {
  return about(policySync, revision, 'Pending', undefined, 'Applying');
}

/** The report when a reconciliation has ended; undefined when it never came to a commit. */
export function reportOf(policySync: PolicySync, outcome: Outcome): Report | undefined {
  const { revision } = outcome;
  if (revision === undefined) return undefined;
  if (outcome.kind === 'applied')
    return about(policySync, revision, 'Success', undefined, `Applied: ${describeChanges(outcome.changes)}`);
  const { code, failures, message } = outcome;
  const [first] = failures;
  const more = failures.length > 1 ? `(and ${failures.length - 1} more) ` : '';
  const said = first === undefined ? message : `${more}${describeFailure(first)}`;
  // What may pass says nothing about the commit: it is waited for.
  const isVerdict = first !== undefined || isStalling(code) || code === 'ServiceAccountNotFound';
  return isVerdict
    ? about(policySync, revision, 'Failure', code, said)
    : about(policySync, revision, 'Pending', undefined, `Waiting: ${said}`);
}

/**
 * Whether the git server has to be told: each state of a commit once. A state that may pass does not take back one that was final, and
 * another cause is told when it is a verdict too.
 */
export function isNews(report: Report, told: PolicySyncStatusCommitStatus | undefined): boolean {
  if (told === undefined || told.commit !== report.commit || told.context !== report.context) return true;
  if (report.state === 'Pending') return false;
  return told.state !== report.state || (told.reason !== report.reason && report.reason !== undefined);
}

/** The name of the status: nobody else's, in whatever cluster, unless the spec says one. */
export function contextOf({ metadata, spec }: PolicySync): string {
  const { namespace = '', name = '', uid = '' } = metadata;
  const end = `/${uid.slice(0, 8)}`;
  return spec.commitStatus?.context ?? `${`backstay/${namespace}/${name}`.slice(0, MAX_CONTEXT - end.length)}${end}`;
}

function about(
  policySync: PolicySync,
  revision: string,
  state: Report['state'],
  reason: string | undefined,
  description: string,
): Report | undefined {
  // `main@sha1:0a1b…`; the label of a full reference is that reference.
  const match = /^(?:(.*)@)?sha(?:1|256):([0-9a-f]+)$/.exec(revision);
  if (match?.[2] === undefined) return undefined;
  const ref = match[1]?.replace(/^refs\/(heads|tags)\//, '');
  return {
    commit: match[2],
    ref: ref?.startsWith('refs/') === true ? undefined : ref,
    state,
    reason,
    // A whole commit id would take a third of what GitHub shows.
    description: description.replaceAll(/\b([0-9a-f]{8})[0-9a-f]{32,56}\b/g, '$1'),
    context: contextOf(policySync),
  };
}
