/** How far a BackupPolicyRule is kept now, by everything that there is. Pure. */
import type { AppBinding, BackupPolicyRule } from '../generated/types.ts';
import { AppBindings, BackupConfigurations, KINDS, type Kind } from '../kinds.ts';
import type { KubeObject, ResourceType } from '../meta.ts';
import { formatName, resolveTarget } from '../references.ts';
import type { Lookup } from '../rules/rule.ts';
import { kindsOf } from './checks.ts';
import { concerns, concernsTarget } from './match.ts';
import { violationsOf } from './violations.ts';

/** One object that breaks a rule, with one of the demands that it does not meet. */
export interface SurveyedViolation {
  kind: string;
  namespace: string;
  name: string;
  demand: string;
  message: string;
}

export interface SurveyCount {
  kind: string;
  checked: number;
  violating: number;
}

export interface Survey {
  counts: SurveyCount[];
  /** In the order of kind, namespace and name. */
  violations: SurveyedViolation[];
}

/** Judges every object that the rule concerns, whatever its enforcement: also what was there before the rule. */
export function surveyRule(rule: BackupPolicyRule, lookup: Lookup, now: Date): Survey {
  const survey: Survey = { counts: [], violations: [] };
  for (const kind of kindsOf(rule.spec)) {
    const objects = lookup.list(KINDS[kind] as ResourceType).filter(isThere);
    add(survey, kind, objects, (object) => {
      const { namespace = '', name = '' } = object.metadata;
      const chosen = { kind, object, namespace, name, lookup };
      return concerns(rule, chosen) === true ? violationsOf(rule, chosen, now) : undefined;
    });
  }
  // A database that nothing backs up breaks a demand for backups, too; only a targetSelector says which databases are meant.
  if (rule.spec.demands.maxInterval !== undefined && rule.spec.match?.targetSelector !== undefined) {
    const targets = backedUp(lookup);
    const message = `BackupPolicyRule ${rule.metadata.name} demands a backup every ${rule.spec.demands.maxInterval}, and no BackupConfiguration is for it`;
    add(survey, 'AppBinding', lookup.list(AppBindings).filter(isThere), (binding) => {
      if (!concernsTarget(rule, binding as AppBinding, lookup)) return undefined;
      const { namespace = '', name = '' } = binding.metadata;
      return targets.has(formatName({ namespace, name })) ? [] : [{ demand: 'maxInterval', message }];
    });
  }
  return survey;
}

function add(
  survey: Survey,
  kind: Kind,
  objects: readonly KubeObject[],
  judge: (object: KubeObject) => readonly { demand: string; message: string }[] | undefined,
): void {
  const count = { kind, checked: 0, violating: 0 };
  for (const object of [...objects].sort(byName)) {
    const found = judge(object);
    if (found === undefined) continue;
    count.checked++;
    if (found.length > 0) count.violating++;
    const { namespace = '', name = '' } = object.metadata;
    survey.violations.push(...found.map(({ demand, message }) => ({ kind, namespace, name, demand, message })));
  }
  survey.counts.push(count);
}

function backedUp(lookup: Lookup): Set<string> {
  return new Set(
    lookup.list(BackupConfigurations).flatMap(({ metadata, spec }) => {
      const target = resolveTarget(spec.target, metadata.namespace ?? '');
      return target.apiGroup === 'backstay.dev' ? [formatName(target)] : [];
    }),
  );
}

function isThere({ metadata }: KubeObject): boolean {
  return metadata.deletionTimestamp === undefined;
}

function byName(a: KubeObject, b: KubeObject): number {
  const key = ({ metadata }: KubeObject): string => `${metadata.namespace}/${metadata.name}`;
  return key(a) < key(b) ? -1 : 1;
}
