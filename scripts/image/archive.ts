import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { fileHeader, padding, type TarEntry, tar, tarEntry } from './tar.ts';

/** A layer: a tar file compressed with gzip. */
export interface Layer {
  file: string;
  /** Of the file: `sha256:…`. */
  digest: string;
  size: number;
  /** Of the tar before compression, by which a layer is known when it is unpacked. */
  diffId: string;
}

/** How the image is run, in the words of the OCI image configuration. */
export interface ImageConfig {
  User: string;
  Env: readonly string[];
  Entrypoint: readonly string[];
  WorkingDir: string;
  Labels: Readonly<Record<string, string>>;
}

export interface Image {
  /** `localhost/backstay:dev`. */
  name: string;
  config: ImageConfig;
  /** From the bottom up. */
  layers: readonly Layer[];
}

/** Writes a layer; the file appears under its name when it is whole. */
export async function writeLayer(file: string, entries: Iterable<TarEntry>): Promise<Layer> {
  const [plain, packed] = [createHash('sha256'), createHash('sha256')];
  let size = 0;
  function* counted(): Generator<Buffer> {
    for (const piece of tar(entries)) {
      plain.update(piece);
      yield piece;
    }
  }
  await mkdir(dirname(file), { recursive: true });
  const partial = `${file}.${process.pid}.partial`;
  const compress = createGzip({ level: 1 });
  compress.on('data', (piece: Buffer) => {
    packed.update(piece);
    size += piece.length;
  });
  try {
    await pipeline(Readable.from(counted()), compress, createWriteStream(partial));
    await rename(partial, file);
  } finally {
    await rm(partial, { force: true });
  }
  return { file, digest: `sha256:${packed.digest('hex')}`, size, diffId: `sha256:${plain.digest('hex')}` };
}

/**
 * An OCI image layout as the pieces of one tar file, which `ctr images import`, `docker load` and `skopeo` read (image-layout.md and
 * config.md of the OCI image specification, 1.1). Layers that the receiver has already may be left out of it.
 */
export async function* archive(image: Image, omit: ReadonlySet<string> = new Set()): AsyncGenerator<Buffer> {
  const { name, layers } = image;
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const config = blob({
    architecture,
    os: 'linux',
    config: image.config,
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
  });
  const manifest = blob({
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      digest: config.digest,
      size: config.content.length,
    },
    layers: layers.map(({ digest, size }) => ({ mediaType: LAYER, digest, size })),
  });
  const index = {
    schemaVersion: 2,
    manifests: [
      {
        mediaType: MANIFEST,
        digest: manifest.digest,
        size: manifest.content.length,
        platform: { architecture, os: 'linux' },
        annotations: {
          'io.containerd.image.name': name,
          'org.opencontainers.image.ref.name': name.split(':')[1] ?? 'latest',
        },
      },
    ],
  };
  yield* text('oci-layout', JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  yield* text('index.json', JSON.stringify(index));
  for (const { digest, content } of [config, manifest]) {
    yield* tarEntry({ kind: 'file', path: path(digest), mode: 0o644, content });
  }
  for (const layer of layers) {
    if (omit.has(layer.digest)) continue;
    yield fileHeader(path(layer.digest), 0o644, layer.size);
    yield* createReadStream(layer.file, { highWaterMark: 1 << 20 });
    yield padding(layer.size);
  }
  yield Buffer.alloc(1024);
}

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip';

function blob(value: unknown): { digest: string; content: Buffer } {
  const content = Buffer.from(JSON.stringify(value));
  return { digest: `sha256:${createHash('sha256').update(content).digest('hex')}`, content };
}

const path = (digest: string): string => `blobs/${digest.replace(':', '/')}`;

function text(name: string, content: string): Generator<Buffer> {
  return tarEntry({ kind: 'file', path: name, mode: 0o644, content: Buffer.from(content) });
}
