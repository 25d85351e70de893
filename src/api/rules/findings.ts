import type { Cause, CauseReason, Verdict } from '../causes.ts';

// A Warning header longer than this may be cut.
const WARNING_LENGTH = 120;

/** Collects what a rule finds. */
export class Findings implements Verdict {
  readonly causes: Cause[] = [];
  readonly warnings: string[] = [];

  refuse(field: string, reason: CauseReason, message: string): void {
    this.causes.push({ field, reason, message });
  }

  warn(message: string): void {
    this.warnings.push(message.length < WARNING_LENGTH ? message : `${message.slice(0, WARNING_LENGTH - 2)}…`);
  }
}
