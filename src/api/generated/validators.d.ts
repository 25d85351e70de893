// Generated from schemas/ by `npm run generate`. Do not edit.
import type { Validator } from '../schema.ts';

export declare const validateAddon: Validator;
export declare const validateAppBinding: Validator;
export declare const validateBackupConfiguration: Validator;
export declare const validateBackupPolicyRule: Validator;
export declare const validateBackupSession: Validator;
export declare const validateBackupStorage: Validator;
export declare const validateFunction: Validator;
export declare const validatePolicySync: Validator;
export declare const validateRepository: Validator;
export declare const validateRestoreSession: Validator;
export declare const validateRetentionPolicy: Validator;
export declare const validateSnapshot: Validator;
