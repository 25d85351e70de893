/** What every controller is made with, and lookups that several of them share. */

import { defaultBackends } from '../api/backends.ts';
import type { Cause } from '../api/causes.ts';
import type { BackupConfiguration, BackupSession, Target } from '../api/generated/types.ts';
import { heldBy } from '../api/held.ts';
import { BackupStorages, type Kind, RetentionPolicies } from '../api/kinds.ts';
import { resolveTarget } from '../api/references.ts';
import { review } from '../api/review.ts';
import { type Lookup, NOTHING_KNOWN } from '../api/rules/rule.ts';
import type { Client } from '../kube/client.ts';
import type { Controller, ControllerOptions } from '../kube/controller.ts';
import type { Log } from '../kube/log.ts';
import type { KubeMetrics } from '../kube/metrics.ts';
import type { KubeObject } from '../kube/resource.ts';
import type { Surroundings } from './backupconfiguration/problems.ts';
import { isEnded } from './backupsession/status.ts';
import type { Caches } from './caches.ts';
import type { Claimant, TargetClaims } from './claims.ts';
import type { JobSettings } from './jobs/build.ts';
import type { NoteSink } from './reconcile/perform.ts';
import { holdsTarget, isRestoreEnded } from './restoresession/status.ts';
import { findTarget, type TargetFinding, targetKey } from './target.ts';

export interface OperatorContext {
  client: Client;
  caches: Caches;
  claims: TargetClaims;
  settings: JobSettings;
  notes(controller: string): NoteSink;
  log: Log;
  metrics?: KubeMetrics | undefined;
  concurrency: number;
}

/** Makes one controller and says what wakes it. */
export type ControllerFactory = (context: OperatorContext) => Controller;

/** The options that all controllers have in common. */
export function controllerOptions({
  concurrency,
  log,
  metrics,
}: OperatorContext): Omit<ControllerOptions, 'name' | 'reconcile'> {
  // Without a first wait of some length a thousand conflicts would be a thousand requests a second.
  return { concurrency, log, metrics, queue: { baseMs: 50, maxMs: 60_000 } };
}

/** What admission would say of the object by itself; other objects are judged by the plans, which wait for them. */
export function causesOf(kind: Kind, object: KubeObject): Cause[] {
  return review(kind, object, { lookup: NOTHING_KNOWN }).causes;
}

/** Looks for the target of an object in namespace `from`. */
export function targetFor({ caches }: OperatorContext, target: Target, from: string): TargetFinding {
  return findTarget(target, from, {
    appBinding: (namespace, name) => caches.appBindings.get(namespace, name),
    catalogAppBinding: (namespace, name) => caches.catalogAppBindings.get(namespace, name),
    kubedbMongoDB: (namespace, name) => caches.kubedbMongoDBs.get(namespace, name),
  });
}

/** What a configuration refers to. */
export function surroundings(context: OperatorContext, configuration: BackupConfiguration): Surroundings {
  const { caches } = context;
  const { namespace = '' } = configuration.metadata;
  return {
    configuration,
    backends: configuration.spec.backends ?? defaultBackends(configuration, namespace, defaultsLookup(caches)) ?? [],
    target: targetFor(context, configuration.spec.target, namespace),
    findStorage: (of, name) => caches.storages.get(of, name),
    findPolicy: (of, name) => caches.policies.get(of, name),
    findAddon: (name) => caches.addons.get(undefined, name),
    findFunction: (name) => caches.functions.get(undefined, name),
    namespaceLabels: labelsOf(caches, namespace),
    repositories: new Map(
      caches.repositories.list(namespace).map((repository) => [repository.metadata.name ?? '', repository]),
    ),
  };
}

/** Labels of a namespace; undefined when it is not known. */
export function labelsOf({ namespaces }: Caches, name: string): Readonly<Record<string, string>> | undefined {
  const namespace = namespaces.get(undefined, name);
  return namespace === undefined ? undefined : (namespace.metadata.labels ?? {});
}

/** Key of the target that a BackupSession reads; undefined when its configuration is gone. */
export function targetOfSession({ caches }: OperatorContext, { metadata, spec }: BackupSession): string | undefined {
  const configuration = caches.configurations.get(metadata.namespace, spec.invoker.name);
  return configuration === undefined ? undefined : targetOfConfiguration(configuration);
}

export function targetOfConfiguration({ metadata, spec }: BackupConfiguration): string {
  return targetKey(resolveTarget(spec.target, metadata.namespace ?? ''));
}

/** Takes a target for a claimant; who works on it instead, or is next, if somebody does. */
export function claimTarget(context: OperatorContext, target: string, claimant: Claimant): Claimant | undefined {
  const working = workingOn(context, target, claimant);
  if (working !== undefined) return working;
  const holder = context.claims.claim(target, claimant);
  if (holder === undefined || !hasEnded(context, holder)) return holder;
  // Its end was seen before its own controller came to give the target back.
  context.claims.release(holder);
  return context.claims.claim(target, claimant);
}

function hasEnded({ caches }: OperatorContext, { kind, name }: Claimant): boolean {
  if (kind === 'BackupSession') {
    const session = caches.sessions.getByKey(name);
    return session === undefined || isEnded(session);
  }
  const restore = caches.restores.getByKey(name);
  return restore === undefined || isRestoreEnded(restore);
}

/** Who works on a target according to the statuses, the claimant left out. */
function workingOn({ caches }: OperatorContext, target: string, besides: Claimant): Claimant | undefined {
  for (const restore of caches.restores.byIndex('target', target)) {
    const claimant: Claimant = {
      kind: 'RestoreSession',
      name: `${restore.metadata.namespace}/${restore.metadata.name}`,
    };
    const waits = besides.kind === 'RestoreSession' && restore.status?.phase !== 'Running';
    if (holdsTarget(restore) && !waits && !isSame(claimant, besides)) return claimant;
  }
  for (const configuration of caches.configurations.byIndex('refs', `target:${target}`)) {
    const key = `${configuration.metadata.namespace}/${configuration.metadata.name}`;
    for (const session of caches.sessions.byIndex('configuration', key)) {
      const claimant: Claimant = {
        kind: 'BackupSession',
        name: `${session.metadata.namespace}/${session.metadata.name}`,
      };
      if (!isEnded(session) && session.status?.job !== undefined && !isSame(claimant, besides)) return claimant;
    }
  }
  return undefined;
}

/** A session that has ended, and what it has not given back yet. */
export interface Unreleased {
  /** namespace/name. */
  session: string;
  /** See heldBy. */
  held: readonly string[];
}

/** The first BackupSession that has ended and holds something of a target still: whoever starts before it is released meets its release. */
export function unreleasedOn({ caches }: OperatorContext, target: string | undefined): Unreleased | undefined {
  if (target === undefined) return undefined;
  for (const configuration of caches.configurations.byIndex('refs', `target:${target}`)) {
    const key = `${configuration.metadata.namespace}/${configuration.metadata.name}`;
    for (const session of caches.sessions.byIndex('configuration', key)) {
      const held = isEnded(session) ? heldBy(session) : [];
      if (held.length > 0) return { session: `${session.metadata.namespace}/${session.metadata.name}`, held };
    }
  }
  return undefined;
}

function isSame(a: Claimant, b: Claimant): boolean {
  return a.kind === b.kind && a.name === b.name;
}

/** The caches as the lookup of the API's rules, as far as defaults need it. */
function defaultsLookup({ storages, policies }: Caches): Lookup {
  const list = ((type: { kind: string }, namespace?: string) =>
    type.kind === BackupStorages.kind
      ? storages.list(namespace)
      : type.kind === RetentionPolicies.kind
        ? policies.list(namespace)
        : []) as Lookup['list'];
  return { ...NOTHING_KNOWN, list };
}
