import { review } from '../api/review.ts';
import type { Surroundings } from './synchronise.ts';

/** The schema and the rules, as the webhook would judge, over the objects of the commit alone. */
export const judge: Surroundings['validate'] = (kind, object, lookup) => review(kind, object, { lookup }).causes;
