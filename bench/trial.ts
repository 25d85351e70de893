import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { MongoClient } from 'mongodb';
import { type Ground, takeGround } from '../test/lab/ground.ts';
import { type Mongod, startMongod } from '../test/lab/mongod.ts';
import { startReplicaSet } from '../test/lab/replica-set.ts';
import { DATABASE, fill } from './data.ts';
import { type Growth, growth } from './growth.ts';
import { type Measurement, measure } from './measure.ts';
import { BACKSTAY, type Contender, node, type Scene, type Task } from './tasks.ts';

/** What is compared: so much data on so many shards. */
export interface Trial {
  megabytes: number;
  shards: number;
}

/** All runs of one task, in the order of their turns. */
export interface Result extends Trial {
  task: Task;
  peer: string;
  ours: Measurement[];
  theirs: Measurement[];
}

export interface TrialOptions {
  runs: number;
  tasks: readonly Task[];
  peer: Contender;
  restic: string;
  say: (line: string) => void;
}

/** Runs every task of a trial, ours and theirs in alternation, and measures how a repository grows when the size is that of one server. */
export async function runTrial(trial: Trial, options: TrialOptions): Promise<{ results: Result[]; growths: Growth[] }> {
  const { megabytes, shards } = trial;
  const { runs, peer, restic, say } = options;
  await using ground = await takeGround();
  const sources: Mongod[] = [];
  for (let shard = 0; shard < shards; shard += 1) sources.push(await startMongod({ on: ground }));
  await using set = await startReplicaSet({ on: ground, mongod: { oplogSize: 990 } });
  say(`filling ${shards} × ${Math.round(megabytes / shards)} MB`);
  for (const source of sources) {
    await using client = await source.client();
    await fill(client, megabytes / shards);
  }
  const scene: Scene = {
    sources: sources.map((source) => source.uri()),
    target: set.uri,
    archive: join(ground.folder, 'source.archive'),
    megabytes,
    restic,
  };
  await measure(node('backstay', ['file', scene.archive, scene.sources[0] ?? '']));
  const tasks = options.tasks.filter(({ sharded }) => sharded || shards === 1);
  const results: Result[] = tasks.map((task) => ({ ...trial, task, peer: peer.name, ours: [], theirs: [] }));
  let repository: NodeJS.ProcessEnv = {};
  for (let turn = 0; turn < runs; turn += 1) {
    const repositories = new Map<Contender, NodeJS.ProcessEnv>();
    for (const contender of [BACKSTAY, peer]) repositories.set(contender, await newRepository(ground, restic));
    for (const { task, ours, theirs } of results) {
      for (const contender of turn % 2 === 0 ? [BACKSTAY, peer] : [peer, BACKSTAY]) {
        if (task.writes) await empty(scene.target);
        const command = contender.command(task.name, scene, repositories.get(contender) ?? {});
        const measurement = await measure(command);
        (contender === BACKSTAY ? ours : theirs).push(measurement);
        const rate = (megabytes / measurement.seconds).toFixed(0);
        say(`${task.title}, ${contender.name}: ${measurement.seconds.toFixed(2)} s, ${rate} MB/s`);
      }
    }
    for (const env of [repository, repositories.get(peer)]) await remove(env);
    repository = repositories.get(BACKSTAY) ?? {};
  }
  const backedUp = tasks.some(({ name }) => name === 'backup');
  const growths = shards === 1 && backedUp ? await growth(scene, repository, say) : [];
  await Promise.all(sources.map((source) => source.stop()));
  return { results, growths };
}

let repositories = 0;

async function newRepository(ground: Ground, restic: string): Promise<NodeJS.ProcessEnv> {
  repositories += 1;
  const env = {
    RESTIC: restic,
    RESTIC_REPOSITORY: join(ground.folder, `repository-${repositories}`),
    RESTIC_PASSWORD: 'benchmark',
  };
  await promisify(execFile)(restic, ['--no-cache', 'init'], { env: { ...process.env, ...env } });
  return env;
}

/** They would fill the disk in a trial of several gigabytes. */
async function remove(repository: NodeJS.ProcessEnv | undefined): Promise<void> {
  const { RESTIC_REPOSITORY: path } = repository ?? {};
  if (path !== undefined) await rm(path, { recursive: true, force: true });
}

async function empty(uri: string): Promise<void> {
  await using client = await new MongoClient(uri).connect();
  await client.db(DATABASE).dropDatabase();
}
