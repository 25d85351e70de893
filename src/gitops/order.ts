import type { Kind } from '../api/kinds.ts';

/**
 * What may stand in a policy repository, in the order of reference: whatever an object names comes before it. A restore comes last,
 * when all that it needs is in place, and a PolicySync after what it may depend on.
 */
const ORDER: readonly Kind[] = [
  'Function',
  'Addon',
  'BackupPolicyRule',
  'BackupStorage',
  'RetentionPolicy',
  'AppBinding',
  'Repository',
  'BackupConfiguration',
  'PolicySync',
  'RestoreSession',
];

/** Why a kind may not stand in a policy repository; undefined if it may. */
export function whyNotAllowed(kind: Kind): string | undefined {
  if (ORDER.includes(kind)) return undefined;
  if (kind === 'BackupSession')
    return 'A BackupSession is one run, not a policy: a schedule of a BackupConfiguration makes it, or backstay trigger';
  return `A ${kind} is a result, not a policy: Backstay makes it itself`;
}

/** The place of a kind in the order; smaller is applied first and pruned last. A Secret refers to nothing, and others to it. */
export function rankOf(kind: string): number {
  if (kind === 'Secret') return -1;
  const rank = ORDER.indexOf(kind as Kind);
  return rank < 0 ? ORDER.length : rank;
}
