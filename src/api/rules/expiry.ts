import { BackstayError } from '../errors.ts';
import type { BackupConfiguration, RetentionPolicy, Snapshot } from '../generated/types.ts';
import { sameValue } from '../json.ts';
import { BackupConfigurations, RetentionPolicies, Snapshots } from '../kinds.ts';
import { formatName, resolveReference } from '../references.ts';
import { candidateOf, isCandidate, planRetention, type RetentionRules, retentionRulesOf } from '../retention.ts';
import type { Findings } from './findings.ts';
import type { Draft, Lookup, Subject } from './rule.ts';

/** The rules that Snapshots are kept by; without any, all are kept. */
type Rules = RetentionRules | 'all';

interface Expiry {
  expired: number;
  all: number;
}

/** Says how many Snapshots that a RetentionPolicy keeps would go because of its change. */
export function warnAboutPolicyExpiry(findings: Findings, subject: Subject<RetentionPolicy>): void {
  const { object, old, lookup, namespace, name } = subject;
  const [before, after] = [rulesOf(old), rulesOf(object)];
  if (before === undefined || after === undefined || sameValue(before, after)) return;
  const self = formatName({ namespace, name });
  const found = lookup.list(BackupConfigurations).flatMap((configuration) => {
    const home = configuration.metadata.namespace ?? '';
    return (configuration.spec.backends ?? [])
      .filter(({ retentionPolicy }) => policyName(retentionPolicy, home) === self)
      .flatMap((backend) => histories(lookup, configuration, home, backend.name))
      .map(({ snapshots }) => compare(snapshots, before, after, subject.now));
  });
  warn(findings, 'spec', found);
}

/** Says, backend by backend, how many Snapshots would go because another RetentionPolicy is named. */
export function warnAboutExpiry(findings: Findings, subject: Subject<BackupConfiguration>): void {
  const { object, old, lookup, namespace, now } = subject;
  if (old === undefined) return;
  const former = formerPolicies(old, namespace);
  for (const [index, { name, retentionPolicy }] of (object.spec?.backends ?? []).entries()) {
    const policy = policyName(retentionPolicy, namespace);
    if (name === undefined || policy === undefined) continue;
    const after = findRules(lookup, policy);
    if (after === undefined) continue;
    const found = histories(lookup, object, namespace, name).flatMap(({ key, snapshots }) => {
      const was = former.get(key);
      const before = was === undefined ? 'all' : findRules(lookup, was);
      return was === policy || before === undefined ? [] : compare(snapshots, before, after, now);
    });
    warn(findings, `spec.backends[${index}].retentionPolicy`, found);
  }
}

function warn(findings: Findings, field: string, found: readonly Expiry[]): void {
  const [expired, all] = [sum(found.map((one) => one.expired)), sum(found.map((one) => one.all))];
  const noun = all === 1 ? 'Snapshot' : 'Snapshots';
  if (expired > 0) findings.warn(`${field}: it would expire ${expired} of ${all} ${noun} with the next backups`);
}

function compare(snapshots: readonly Snapshot[], before: Rules, after: RetentionRules, now: Date): Expiry {
  const candidates = snapshots.map(candidateOf);
  const kept = before === 'all' ? candidates : planRetention(candidates, before, now.getTime()).keep;
  const stayed = new Set(kept.map(({ name }) => name));
  const { remove } = planRetention(candidates, after, now.getTime());
  return { expired: remove.filter(({ name }) => stayed.has(name)).length, all: candidates.length };
}

interface History {
  key: string;
  snapshots: Snapshot[];
}

/** The Snapshots that rules are applied to together: those of one session in one Repository. */
function histories(
  lookup: Lookup,
  { spec }: Draft<BackupConfiguration>,
  namespace: string,
  backend: string,
): History[] {
  const pairs = pairsOf(spec).filter((pair) => pair.backend === backend);
  if (pairs.length === 0) return [];
  const ended = lookup.list(Snapshots, namespace).filter(isCandidate);
  return pairs.map(({ key, session, repository }) => ({
    key,
    snapshots: ended.filter((one) => one.spec.session === session && one.spec.repository === repository),
  }));
}

/** The RetentionPolicy of every session in every Repository, as a configuration had it. */
function formerPolicies({ spec }: Draft<BackupConfiguration>, namespace: string): Map<string, string | undefined> {
  const policies = new Map(
    (spec?.backends ?? []).map(({ name, retentionPolicy }) => [name, policyName(retentionPolicy, namespace)]),
  );
  return new Map(pairsOf(spec).map(({ key, backend }) => [key, policies.get(backend)]));
}

interface Pair {
  key: string;
  session: string;
  repository: string;
  backend: string;
}

function pairsOf(spec: Draft<BackupConfiguration>['spec']): Pair[] {
  return (spec?.sessions ?? []).flatMap(({ name: session, repositories = [] }) =>
    repositories.flatMap(({ name: repository, backend }) =>
      session === undefined || repository === undefined || backend === undefined
        ? []
        : { key: `${session}/${repository}`, session, repository, backend },
    ),
  );
}

function policyName(
  reference: { namespace?: string | undefined; name?: string | undefined } | undefined,
  from: string,
): string | undefined {
  const { name, namespace } = reference ?? {};
  return name === undefined ? undefined : formatName(resolveReference({ namespace, name }, from));
}

function findRules(lookup: Lookup, policy: string): RetentionRules | undefined {
  const [namespace = '', name = ''] = policy.split('/');
  return rulesOf(lookup.get(RetentionPolicies, namespace, name));
}

/** Undefined where there is none, or none that can be read: something else says so. */
function rulesOf(policy: Draft<RetentionPolicy> | undefined): RetentionRules | undefined {
  try {
    return policy?.spec === undefined ? undefined : retentionRulesOf(policy as RetentionPolicy);
  } catch (error) {
    if (error instanceof BackstayError) return undefined;
    throw error;
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
