// Generated from schemas/ by `npm run generate`. Do not edit.
import type { Kind } from '../kinds.ts';
import type { Schema } from '../schema.ts';

export declare const schemas: Readonly<Record<Kind, Schema>>;
