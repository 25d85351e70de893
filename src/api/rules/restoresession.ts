import type { RestoreSession, RestoreSessionDataSource } from '../generated/types.ts';
import { Repositories, Snapshots } from '../kinds.ts';
import { didYouMean } from '../suggest.ts';
import { checkDuration } from './durations.ts';
import { Findings } from './findings.ts';
import { checkReference, findReferred } from './references.ts';
import type { Draft, Rule, Subject } from './rule.ts';
import { checkSecret, checkTarget } from './target.ts';
import { checkAddonUse } from './tasks.ts';

/** Name that stands for the newest good Snapshot of a Repository. */
export const LATEST = 'latest';

const OBJECT_NAME = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/;
// A database name has none of these; a collection name begins after the first dot and holds no NUL.
const DATABASE = /^[^/\\. "$\0]{1,63}$/;

/** Judges a RestoreSession. */
export const judgeRestoreSession: Rule<RestoreSession> = (subject) => {
  const findings = new Findings();
  const { spec } = subject.object;
  checkTarget(findings, subject, spec?.target, 'spec.target');
  checkSecret(findings, subject, spec?.dataSource?.encryptionSecret, 'spec.dataSource.encryptionSecret');
  if (spec?.dataSource !== undefined) {
    checkSnapshot(findings, subject, spec.dataSource);
    checkNamespaces(findings, spec.dataSource.namespaces);
    checkShards(findings, spec.dataSource.shards);
  }
  checkAddonUse(findings, subject, spec?.addon, 'restoreTasks', 'spec.addon');
  checkDuration(findings, spec?.restoreTimeout, 'spec.restoreTimeout');
  return findings;
};

function checkSnapshot(
  findings: Findings,
  subject: Subject<RestoreSession>,
  source: Draft<RestoreSessionDataSource>,
): void {
  const path = 'spec.dataSource';
  const reference = { namespace: source.namespace, name: source.repository };
  const repository = checkReference(findings, subject, Repositories, reference, `${path}.repository`);
  const { snapshot = LATEST } = source;
  if (!OBJECT_NAME.test(snapshot)) {
    const message = `it must be the name of a Snapshot or ${LATEST}`;
    findings.refuse(`${path}.snapshot`, 'FieldValueInvalid', message);
    return;
  }
  if (repository === undefined || snapshot === LATEST) return;
  const named = { namespace: source.namespace, name: snapshot };
  const found = findReferred(findings, subject, Snapshots, named, `${path}.snapshot`);
  if (found === undefined) return;
  if (found.spec.repository !== source.repository) {
    const message = `Snapshot ${snapshot} lies in Repository ${found.spec.repository}, not in ${source.repository}`;
    findings.refuse(`${path}.snapshot`, 'FieldValueInvalid', message);
  }
  if (found.status?.phase === 'Failed') {
    findings.refuse(
      `${path}.snapshot`,
      'FieldValueInvalid',
      `Snapshot ${snapshot} failed; there is nothing to restore`,
    );
  }
  const components = found.status?.components?.map((one) => one.name);
  for (const [index, name] of (source.components ?? []).entries()) {
    if (components === undefined || components.includes(name)) continue;
    const message = `Snapshot ${snapshot} has no component ${name}; it has ${components.join(', ')}`;
    findings.refuse(`${path}.components[${index}]`, 'FieldValueNotFound', message + didYouMean(name, components));
  }
}

function checkNamespaces(findings: Findings, namespaces: Draft<RestoreSessionDataSource>['namespaces']): void {
  const path = 'spec.dataSource.namespaces';
  for (const list of ['include', 'exclude'] as const) {
    for (const [index, pattern] of (namespaces?.[list] ?? []).entries()) {
      const words = 'write it as database.collection, with * for any text, such as shop.*';
      if (!pattern.includes('.') && !pattern.includes('*')) {
        findings.refuse(`${path}.${list}[${index}]`, 'FieldValueInvalid', `"${pattern}" is no namespace; ${words}`);
      }
    }
  }
  checkSelection(findings, namespaces, path);
  const sources = new Map<string, number>();
  for (const [index, { from, to }] of (namespaces?.rename ?? []).entries()) {
    for (const [key, name] of Object.entries({ from, to })) {
      if (name === undefined || isNamespace(name)) continue;
      const message = `"${name}" is no namespace; write it as database.collection, such as shop.orders`;
      findings.refuse(`${path}.rename[${index}].${key}`, 'FieldValueInvalid', message);
    }
    if (from !== undefined && to !== undefined && from.endsWith('.*') !== to.endsWith('.*')) {
      const message = 'from and to must both end in .*, or neither: one collection does not become all';
      findings.refuse(`${path}.rename[${index}].to`, 'FieldValueInvalid', message);
    }
    if (from !== undefined && from === to) findings.warn(`${path}.rename[${index}]: "${from}" keeps its name`);
    if (to === undefined) continue;
    const first = sources.get(to);
    if (first === undefined) sources.set(to, index);
    else {
      const message = `${path}.rename[${first}] has this name already: two collections would become one`;
      findings.refuse(`${path}.rename[${index}].to`, 'FieldValueDuplicate', message);
    }
  }
}

/** A selection that leaves nothing restores nothing, and would still succeed. */
function checkSelection(
  findings: Findings,
  namespaces: Draft<RestoreSessionDataSource>['namespaces'],
  path: string,
): void {
  const { include = [], exclude = [] } = namespaces ?? {};
  for (const [index, pattern] of exclude.entries()) {
    const at = `${path}.exclude[${index}]`;
    if (pattern === '*' || pattern === '*.*') {
      findings.refuse(at, 'FieldValueInvalid', `"${pattern}" leaves nothing to restore`);
    } else if (include.includes(pattern)) {
      findings.refuse(at, 'FieldValueInvalid', `"${pattern}" is included too; nothing of it would be restored`);
    }
  }
}

function checkShards(findings: Findings, shards: Draft<RestoreSessionDataSource>['shards']): void {
  const path = 'spec.dataSource.shards';
  const places = (shards ?? []).map(({ to }) => to);
  for (const [index, to] of places.entries()) {
    const first = places.indexOf(to);
    if (to === undefined || first === index) continue;
    const message = `${path}[${first}] goes to this shard already`;
    findings.refuse(`${path}[${index}].to`, 'FieldValueDuplicate', message);
  }
}

/** database.collection; `*` may stand for all collections on both sides of a rename. */
function isNamespace(name: string): boolean {
  const dot = name.indexOf('.');
  return dot > 0 && dot < name.length - 1 && DATABASE.test(name.slice(0, dot)) && !name.includes('\0');
}
