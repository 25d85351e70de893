import type { Image } from '../../scripts/image/archive.ts';
import type { ToolOptions } from '../../scripts/tools/tool.ts';
import type { Cluster } from './cluster.ts';
import { type GitServer, type GitServerOptions, startGitServer } from './git.ts';
import { type Ground, takeGround } from './ground.ts';
import { startKubernetes } from './kubernetes.ts';
import { type Pushgateway, startPushgateway } from './pushgateway.ts';
import { type S3, type S3Options, startS3 } from './s3.ts';

export interface LabOptions extends ToolOptions {
  /** Images to have on the node. */
  images?: readonly Image[];
  s3?: Omit<S3Options, 'on'>;
  git?: Omit<GitServerOptions, 'on'>;
}

/** Everything around the databases, on one ground; databases are started on `ground` as a test or a demo needs them. */
export interface Lab extends AsyncDisposable {
  readonly ground: Ground;
  readonly cluster: Cluster;
  readonly s3: S3;
  readonly git: GitServer;
  readonly pushgateway: Pushgateway;
  stop(): Promise<void>;
}

/** Starts all parts side by side. */
export async function startLab(options: LabOptions = {}): Promise<Lab> {
  const { images = [], s3, git, ...progress } = options;
  const ground = await takeGround();
  try {
    const [cluster, storage, server, gateway] = await Promise.all([
      startKubernetes({ on: ground, images, ...progress }),
      startS3({ on: ground, ...s3 }),
      startGitServer({ on: ground, ...git }),
      startPushgateway({ on: ground }),
    ]);
    const stop = (): Promise<void> => ground.stop();
    return { ground, cluster, s3: storage, git: server, pushgateway: gateway, stop, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await ground.stop();
    throw error;
  }
}
