import { gzipSync } from 'node:zlib';
import { BSON } from 'mongodb';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BackstayError } from '../../src/api/errors.ts';
import { crc64 } from '../../src/mongo/archive/crc64.ts';
import {
  type CollectionEntry,
  encodeNamespaceHeader,
  encodePrelude,
  MAX_DOCUMENT_BYTES,
  TERMINATOR,
} from '../../src/mongo/archive/format.ts';
import { type ArchiveEvent, type ReadOptions, readArchive } from '../../src/mongo/archive/reader.ts';
import { readWholeArchive } from './archive-reader.ts';
import { fixtureBytes } from './archives.ts';

const test = suite('archive');

const LIMITS: ReadOptions = { batchBytes: 1024, batchDocuments: 100 };
const HEADER = { concurrentCollections: 1, serverVersion: '6.0.5', toolVersion: 'backstay-test' };
const entry = (db: string, collection: string, type: CollectionEntry['type'] = 'collection'): CollectionEntry => ({
  db,
  collection,
  type,
  metadata: '{"indexes":[]}',
});

/** A namespace's blocks; its documents come in as many data blocks as there are lists. */
function blocks(db: string, collection: string, ...lists: Uint8Array[][]): Buffer {
  const parts: Uint8Array[] = [];
  for (const list of lists)
    parts.push(encodeNamespaceHeader({ db, collection, end: false, crc: 0n }), ...list, TERMINATOR);
  return Buffer.concat([
    ...parts,
    encodeNamespaceHeader({ db, collection, end: true, crc: crc64(Buffer.concat(lists.flat())) }),
  ]);
}

const documents = (count: number, size = 10): Uint8Array[] =>
  Array.from({ length: count }, (_, index) => BSON.serialize({ _id: index, text: 'x'.repeat(size + (index % 7)) }));

function smallArchive(): Buffer {
  return Buffer.concat([
    encodePrelude(HEADER, [
      entry('a', 'empty'),
      entry('a', 'full'),
      entry('b', 'series', 'timeseries'),
      entry('b', 'view', 'view'),
    ]),
    blocks('a', 'empty', []),
    blocks('a', 'full', documents(5), documents(3)),
    blocks('b', 'system.buckets.series', documents(2)),
    blocks('b', 'view', []),
  ]);
}

async function* chunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function events(input: AsyncIterable<Uint8Array> | Uint8Array, options = LIMITS): Promise<ArchiveEvent[]> {
  const list: ArchiveEvent[] = [];
  const source = input instanceof Uint8Array ? chunks(input, 100) : input;
  for await (const event of readArchive(source, options)) list.push(event);
  return list;
}

/** What reading ends with: the error, or undefined. */
async function failure(input: Uint8Array, size = 100): Promise<BackstayError | undefined> {
  try {
    await events(chunks(input, size));
    return undefined;
  } catch (error) {
    if (error instanceof BackstayError) return error;
    throw error;
  }
}

test('a namespace header has the length that mongodump gives it', () => {
  assert.is(encodeNamespaceHeader({ db: 'test', collection: 'bar', end: false, crc: 0n }).length, 57);
  assert.is(encodeNamespaceHeader({ db: 'admin', collection: 'system.version', end: false, crc: 0n }).length, 69);
});

test('a reader that knows nothing of ours accepts what is written', () => {
  const archive = readWholeArchive(smallArchive());
  assert.is(archive.header.version, '0.1');
  assert.is(archive.header.server_version, '6.0.5');
  assert.equal(
    archive.namespaces.map(({ name, documents: { length } }) => [name, length]),
    [
      ['a.empty', 0],
      ['a.full', 8],
      ['b.system.buckets.series', 2],
      ['b.view', 0],
    ],
  );
});

for (const size of [1, 2, 3, 5, 64, 1000, 1_000_000]) {
  test(`documents come back whole from chunks of ${size} bytes`, async () => {
    const list = await events(chunks(smallArchive(), size));
    const found = list.flatMap((event) => (event.kind === 'documents' ? event.pieces : []));
    assert.is(
      Buffer.compare(Buffer.concat(found), Buffer.concat([...documents(5), ...documents(3), ...documents(2)])),
      0,
    );
    assert.equal(
      list.flatMap((event) => (event.kind === 'end' ? [[event.entry.collection, event.documents]] : [])),
      [
        ['empty', 0],
        ['full', 8],
        ['series', 2],
        ['view', 0],
      ],
    );
  });
}

test('batches keep to the limits, and hold whole documents', async () => {
  const bytes = Buffer.concat([encodePrelude(HEADER, [entry('a', 'full')]), blocks('a', 'full', documents(500, 30))]);
  for (const options of [
    { batchBytes: 1000, batchDocuments: 1000 },
    { batchBytes: 100_000, batchDocuments: 7 },
    { batchBytes: 1, batchDocuments: 10 },
  ]) {
    let count = 0;
    for (const event of await events(chunks(bytes, 333), options)) {
      if (event.kind !== 'documents') continue;
      assert.ok(event.documents === 1 || event.bytes <= options.batchBytes);
      assert.ok(event.documents <= options.batchDocuments);
      assert.is(Buffer.concat(event.pieces).length, event.bytes);
      count += event.documents;
    }
    assert.is(count, 500);
  }
});

test('namespaces may take turns, as mongodump writes them', async () => {
  const [a, b] = [documents(4), documents(6, 50)];
  const data = (collection: string, list: Uint8Array[]): Uint8Array[] => [
    encodeNamespaceHeader({ db: 'x', collection, end: false, crc: 0n }),
    ...list,
    TERMINATOR,
  ];
  const end = (collection: string, list: Uint8Array[]): Uint8Array =>
    encodeNamespaceHeader({ db: 'x', collection, end: true, crc: crc64(Buffer.concat(list)) });
  const bytes = Buffer.concat([
    encodePrelude(HEADER, [entry('x', 'b'), entry('x', 'a')]),
    ...data('a', a.slice(0, 2)),
    ...data('b', b.slice(0, 1)),
    ...data('a', a.slice(2)),
    end('a', a),
    ...data('b', b.slice(1)),
    end('b', b),
  ]);
  const ends = (await events(bytes)).filter(({ kind }) => kind === 'end');
  assert.is(ends.length, 2);
});

test('a stream packed with gzip is unpacked', async () => {
  assert.is((await events(chunks(gzipSync(smallArchive()), 50))).length, (await events(smallArchive())).length);
});

test('a document of 16 MiB passes, and one of a byte more does not', async () => {
  const largest = (extra: number): Uint8Array => {
    const overhead = BSON.serialize({ s: '' }).length;
    return BSON.serialize({ s: 'x'.repeat(MAX_DOCUMENT_BYTES - overhead + extra) });
  };
  const archive = (document: Uint8Array): Buffer =>
    Buffer.concat([encodePrelude(HEADER, [entry('a', 'b')]), blocks('a', 'b', [document])]);
  const [, batch] = await events(chunks(archive(largest(0)), 1_000_000));
  assert.is(batch?.kind === 'documents' ? batch.bytes : 0, MAX_DOCUMENT_BYTES);
  assert.is((await failure(archive(largest(1)), 1_000_000))?.code, 'ArchiveDamaged');
});

test('an archive that is cut at any boundary or anywhere else is an error', async () => {
  const bytes = smallArchive();
  for (let length = 0; length < bytes.length; length += 1) {
    const error = await failure(bytes.subarray(0, length));
    assert.ok(error?.code === 'ArchiveTruncated' || error?.code === 'ArchiveDamaged', `cut to ${length} bytes`);
  }
});

test('a real archive that is cut anywhere, or has a changed byte in its data, is an error', async () => {
  const bytes = await fixtureBytes('catalogue.archive');
  const { boundaries } = readWholeArchive(bytes);
  const dataBegins = boundaries.find((at) => at > 4 && bytes.readInt32LE(at - 4) === -1) ?? 0;
  // a fixed sequence: the same offsets in every run
  let seed = 12345;
  const random = (below: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return seed % below;
  };
  for (let turn = 0; turn < 200; turn += 1) {
    const length = random(bytes.length);
    assert.instance(await failure(bytes.subarray(0, length), 65_536), BackstayError, `cut to ${length}`);
    const at = dataBegins + random(bytes.length - dataBegins);
    const damaged = Buffer.from(bytes);
    damaged[at] = (damaged[at] ?? 0) ^ (1 << random(8));
    assert.instance(await failure(damaged, 65_536), BackstayError, `byte ${at}`);
  }
});

test('a packed archive that is cut is an error', async () => {
  const packed = gzipSync(smallArchive());
  for (let length = 2; length < packed.length; length += 1) {
    const error = await failure(packed.subarray(0, length));
    assert.is(error?.code, 'ArchiveTruncated', `cut to ${length} bytes`);
  }
});

test('any changed byte is an error', async () => {
  const bytes = smallArchive();
  for (let at = 0; at < bytes.length; at += 1) {
    for (const change of [0x01, 0x80, 0xff]) {
      const damaged = Buffer.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ change;
      assert.instance(await failure(damaged), BackstayError, `byte ${at} xor ${change}`);
    }
  }
});

test('the error names the namespace and the byte', async () => {
  const bytes = smallArchive();
  const { namespaces } = readWholeArchive(bytes);
  const second = namespaces[1]?.blocks[1] ?? 0;
  const error = await failure(bytes.subarray(0, second + 70));
  assert.is(error?.code, 'ArchiveTruncated');
  assert.match(String(error?.message), /a\.full, byte \d+/);
  const offset = Number(/byte (\d+)/.exec(String(error?.message))?.[1]);
  assert.ok(offset >= second && offset <= second + 70, `${offset}`);
});

for (const [what, make, message] of [
  ['something else', () => Buffer.from('{"not": "an archive"}'), /not a mongodump archive/],
  ['an unknown format version', () => changed(smallArchive(), '0.1', '0.2'), /version "0.2"/],
  [
    'a namespace that is not in the prelude',
    () => Buffer.concat([encodePrelude(HEADER, []), blocks('a', 'b', [])]),
    /a\.b is not in the prelude/,
  ],
  [
    'a namespace that goes on after its end',
    () => Buffer.concat([encodePrelude(HEADER, [entry('a', 'b')]), blocks('a', 'b', []), blocks('a', 'b', [])]),
    /goes on after its end/,
  ],
  [
    'a namespace twice in the prelude',
    () => Buffer.concat([encodePrelude(HEADER, [entry('a', 'b'), entry('a', 'b')]), blocks('a', 'b', [])]),
    /in the prelude twice/,
  ],
  [
    'a namespace without an end',
    () => Buffer.concat([encodePrelude(HEADER, [entry('a', 'b'), entry('a', 'c')]), blocks('a', 'b', [])]),
    /a\.c.*before the namespace is complete/,
  ],
  ['a block without a header', () => Buffer.concat([encodePrelude(HEADER, []), TERMINATOR]), /no header/],
  [
    'an unknown field in a header',
    () =>
      Buffer.concat([
        encodePrelude(HEADER, [entry('a', 'b')]),
        BSON.serialize({ db: 'a', collection: 'b', EOF: false, CRC: 0n, more: 1 }),
      ]),
    /unknown field "more"/,
  ],
  [
    'a checksum of another type',
    () =>
      Buffer.concat([
        encodePrelude(HEADER, [entry('a', 'b')]),
        BSON.serialize({ db: 'a', collection: 'b', EOF: false, CRC: 0 }),
      ]),
    /no EOF or CRC/,
  ],
  [
    'a header that is neither a beginning nor an end',
    () => {
      const header = Buffer.from(encodeNamespaceHeader({ db: 'a', collection: 'b', end: false, crc: 0n }));
      header[header.indexOf('EOF') + 4] = 2;
      return Buffer.concat([encodePrelude(HEADER, [entry('a', 'b')]), header]);
    },
    /header is not a document/,
  ],
  [
    'a name that is no string',
    () => {
      const header = Buffer.from(encodeNamespaceHeader({ db: 'a', collection: 'b', end: false, crc: 0n }));
      header[4] = 0x0e;
      return Buffer.concat([encodePrelude(HEADER, [entry('a', 'b')]), header]);
    },
    /header is not written as the format has it/,
  ],
] as [string, () => Buffer, RegExp][]) {
  test(`${what} is refused`, async () => {
    assert.match(String((await failure(make()))?.message), message);
  });
}

function changed(bytes: Buffer, from: string, to: string): Buffer {
  const at = bytes.indexOf(from);
  assert.ok(at > 0);
  const copy = Buffer.from(bytes);
  copy.write(to, at);
  return copy;
}

test('an error of the input stays what it is', async () => {
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield smallArchive().subarray(0, 300);
    throw new RangeError('the repository is gone');
  }
  const error = await events(broken()).catch((reason: unknown) => reason);
  assert.instance(error, RangeError);
});

test('an input that stands still does not keep an aborted reader', async () => {
  const controller = new AbortController();
  async function* stalled(): AsyncGenerator<Uint8Array> {
    yield smallArchive().subarray(0, 300);
    await new Promise(() => {});
  }
  const reading = events(stalled(), { ...LIMITS, signal: controller.signal });
  setImmediate(() => controller.abort());
  const error = await reading.catch((reason: unknown) => reason);
  assert.is(error instanceof BackstayError ? error.code : error, 'Aborted');
});

test('a reader that stops early closes its input', async () => {
  let closed = false;
  async function* watched(): AsyncGenerator<Uint8Array> {
    try {
      yield* chunks(smallArchive(), 50);
    } finally {
      closed = true;
    }
  }
  for await (const event of readArchive(watched(), LIMITS)) if (event.kind === 'prelude') break;
  assert.ok(closed);
});

test.run();
