/** The database that a configuration or a restore is about: who it is, and what must be read to reach it. Pure. */

import { consentRemedy, mayBeUsedFrom } from '../api/consent.ts';
import type { AppBinding, Target } from '../api/generated/types.ts';
import { type ResolvedTarget, resolveTarget } from '../api/references.ts';

/** What was found of a target. */
export interface TargetFinding {
  target: ResolvedTarget;
  found: boolean;
  /** Why it is not found; undefined when it is. */
  reason?: 'TargetNotFound' | 'NotAllowed';
  /** What is missing and what to do, for a person; empty when it is found. */
  missing: string;
  /** Names of the Secrets in the namespace of the target that its AppBinding names. */
  secrets: string[];
}

/** What targets are looked up with; undefined for what does not exist. */
export interface TargetLookup {
  appBinding(namespace: string, name: string): AppBinding | undefined;
  /** AppBindings of appcatalog.appscode.com, which has the fields of ours. */
  catalogAppBinding(namespace: string, name: string): Pick<AppBinding, 'spec' | 'metadata'> | undefined;
  kubedbMongoDB(namespace: string, name: string): object | undefined;
}

/** Looks for a target of an object in namespace `from`. */
export function findTarget(reference: Target, from: string, lookup: TargetLookup): TargetFinding {
  const target = resolveTarget(reference, from);
  const { namespace, name } = target;
  if (target.kind === 'MongoDB' && lookup.kubedbMongoDB(namespace, name) === undefined) {
    return absent(
      target,
      'TargetNotFound',
      `MongoDB ${namespace}/${name} of kubedb.com does not exist; create it, or mend the reference`,
    );
  }
  const own = target.apiGroup === 'backstay.dev';
  const binding = own ? lookup.appBinding(namespace, name) : lookup.catalogAppBinding(namespace, name);
  if (binding === undefined) {
    const group = own ? 'backstay.dev' : 'appcatalog.appscode.com';
    return absent(
      target,
      'TargetNotFound',
      `AppBinding ${namespace}/${name} of ${group} does not exist; create it, or mend the reference`,
    );
  }
  if (!mayBeUsedFrom(binding.metadata, from)) {
    const refusal = `AppBinding ${namespace}/${name} may not be used from namespace ${from}`;
    return absent(target, 'NotAllowed', `${refusal}; ${consentRemedy(from)}`);
  }
  const secrets = [binding.spec.secret?.name, binding.spec.tlsSecret?.name].filter((secret) => secret !== undefined);
  return { target, found: true, missing: '', secrets };
}

function absent(target: ResolvedTarget, reason: 'TargetNotFound' | 'NotAllowed', missing: string): TargetFinding {
  return { target, found: false, reason, missing, secrets: [] };
}

/**
 * One key for one database: a MongoDB of kubedb.com and the AppBinding of appcatalog.appscode.com that stands for it have the same, so that
 * they are never backed up at the same time.
 */
export function targetKey({ apiGroup, namespace, name }: ResolvedTarget): string {
  const group = apiGroup === 'kubedb.com' ? 'appcatalog.appscode.com' : apiGroup;
  return `${group}/${namespace}/${name}`;
}
