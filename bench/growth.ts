import { type Document, MongoClient } from 'mongodb';
import { DATABASE } from './data.ts';
import { measure } from './measure.ts';
import { node, type Scene } from './tasks.ts';

/** How much a repository grew by a backup. */
export interface Growth {
  megabytes: number;
  what: string;
  /** Bytes that the repository grew by, of the bytes of the dump. */
  share: number;
}

const CHANGED = 0.01;

/** Restores and backs up again, and changes documents of what was restored, all into the repository that has the source. */
export async function growth(
  scene: Scene,
  repository: NodeJS.ProcessEnv,
  say: (line: string) => void,
): Promise<Growth[]> {
  const { megabytes, sources, target, archive } = scene;
  const backup = async (what: string, uri: string): Promise<Growth> => {
    const { said } = await measure(node('backstay', ['backup', uri], repository));
    const share = Number(said.bytesAdded) / Number(said.bytesProcessed);
    say(`the repository grew by ${(share * 100).toFixed(2)} %: ${what}`);
    return { megabytes, what, share };
  };
  const growths = [await backup('unchanged', sources[0] ?? '')];
  await using client = await new MongoClient(target).connect();
  await client.db(DATABASE).dropDatabase();
  await measure(node('backstay', ['load', archive, target]));
  growths.push(await backup('restored into another server', target));
  const orders = client.db(DATABASE).collection('orders');
  const count = await orders.estimatedDocumentCount();
  const changes = Math.ceil(count * CHANGED);
  const touch = (filter: Document) => orders.updateMany(filter, { $set: { number: -1 } });
  const [first, last] = [
    await orders.findOne({}, { sort: { _id: 1 }, skip: count - changes }),
    await orders.findOne({}, { sort: { _id: -1 } }),
  ];
  await touch({ _id: { $gte: first?._id, $lte: last?._id } });
  growths.push(await backup('1 % of the documents changed, the latest ones', target));
  await touch({ number: { $mod: [Math.round(1 / CHANGED), 0] } });
  growths.push(await backup('1 % of the documents changed, here and there', target));
  return growths;
}
