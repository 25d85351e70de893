/** A program of its own that writes to a snapshot until it is killed. */
import { randomBytes } from 'node:crypto';
import { openRestic } from '../../src/restic/repository.ts';

const { RESTIC = '', REPOSITORY = '', PASSWORD = '', KEYS = '' } = process.env;
const repository = await openRestic({
  backend: { location: REPOSITORY, env: {}, options: {}, flags: [], files: [] },
  password: PASSWORD,
  folder: KEYS,
  binary: RESTIC,
});
const backup = await repository.startBackup({ filename: 'dump.archive', host: 'shop/orders', tags: [] });
for (let count = 1; ; count++) {
  await backup.write(randomBytes(1024 * 1024));
  if (count === 40) console.log('written');
}
