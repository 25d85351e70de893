import type { PodTemplate } from '../generated/types.ts';
import type { Findings } from './findings.ts';
import type { Draft } from './rule.ts';

// What a Pod of Backstay is run as and how it ends is not for the overlay to say.
const RESERVED: Readonly<Record<string, string>> = {
  serviceAccountName: 'Backstay makes a service account with least privilege for every Pod',
  serviceAccount: 'Backstay makes a service account with least privilege for every Pod',
  restartPolicy: 'a Pod of Backstay runs once',
};

/** Judges what is laid over a Pod. */
export function checkPodTemplate(findings: Findings, template: Draft<PodTemplate> | undefined, path: string): void {
  const spec = template?.spec;
  if (spec === undefined) return;
  for (const [key, why] of Object.entries(RESERVED)) {
    if (Object.hasOwn(spec, key))
      findings.refuse(`${path}.spec.${key}`, 'FieldValueForbidden', `it cannot be set: ${why}`);
  }
}
