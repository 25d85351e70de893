import type { Snapshot } from '../generated/types.ts';
import { Repositories } from '../kinds.ts';
import { Findings } from './findings.ts';
import { findReferred } from './references.ts';
import type { Rule } from './rule.ts';

/** Judges a Snapshot. */
export const judgeSnapshot: Rule<Snapshot> = (subject) => {
  const findings = new Findings();
  findReferred(findings, subject, Repositories, { name: subject.object.spec?.repository }, 'spec.repository');
  return findings;
};
