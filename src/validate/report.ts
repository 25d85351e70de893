import type { CauseReason } from '../api/causes.ts';

/** Something that is wrong or odd, and where it stands. */
export interface Finding {
  level: 'error' | 'warning';
  file: string;
  /** Both from 1. */
  line: number;
  column: number;
  /** kind/namespace/name. */
  object?: string;
  /** Path of the field, as kubectl writes it. */
  field?: string;
  reason: CauseReason | 'InvalidYAML' | 'Warning';
  message: string;
}

/** What validating a set of files brought to light. */
export interface Report {
  findings: Finding[];
  files: number;
  /** Objects of Backstay. */
  objects: number;
  /** Objects of others, which are left alone. */
  others: number;
}

export function countOf({ findings }: Report, level: Finding['level']): number {
  return findings.filter((finding) => finding.level === level).length;
}
