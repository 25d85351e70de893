/** The controllers of the operator, in the order in which they are started. */
import { createBackupConfigurationController } from './backupconfiguration/controller.ts';
import { createBackupSessionController } from './backupsession/controller.ts';
import { createBackupStorageController } from './backupstorage/controller.ts';
import type { ControllerFactory } from './context.ts';
import { createRepositoryController } from './repository/controller.ts';
import { createRestoreSessionController } from './restoresession/controller.ts';
import { createSnapshotController } from './snapshot/controller.ts';

export const CONTROLLERS: readonly ControllerFactory[] = [
  // Sessions first: after a restart they take their targets again before anything new starts.
  createBackupSessionController,
  createRestoreSessionController,
  createBackupStorageController,
  createRepositoryController,
  createBackupConfigurationController,
  createSnapshotController,
];
