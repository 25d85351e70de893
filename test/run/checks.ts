/** The checks of the source itself; each counts as one test. Both programs are on the PATH that scripts/bootstrap.mjs sets. */
export const CHECKS = [
  {
    name: 'check: biome (format and lint)',
    command: 'biome',
    args: ['check', '--error-on-warnings', '--max-diagnostics=200'],
  },
  { name: 'check: tsc (types)', command: 'tsc', args: ['--noEmit', '--project', '.'] },
] as const;
