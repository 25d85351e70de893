/** What a tar file of an image layer holds. Everything belongs to root, and nobody's clock is in it: the same input gives the same bytes. */
export type TarEntry =
  | { kind: 'file'; path: string; mode: number; content: Buffer }
  | { kind: 'folder'; path: string; mode: number }
  | { kind: 'link'; path: string; target: string };

const BLOCK = 512;

/** The bytes of a tar file as pieces, with its end marker (ustar; a pax header where a path does not fit, POSIX.1-2017 pax). */
export function* tar(entries: Iterable<TarEntry>): Generator<Buffer> {
  for (const entry of entries) yield* tarEntry(entry);
  yield Buffer.alloc(2 * BLOCK);
}

/** One entry alone, for a file that is put together piece by piece. */
export function* tarEntry(entry: TarEntry): Generator<Buffer> {
  if (entry.kind === 'file') {
    yield fileHeader(entry.path, entry.mode, entry.content.length);
    yield entry.content;
    yield padding(entry.content.length);
  } else if (entry.kind === 'folder') {
    yield header(entry.path, entry.mode, 0, '5', '');
  } else {
    yield header(entry.path, 0o777, 0, '2', entry.target);
  }
}

/** The header of a file of `size` bytes, whose content and `padding(size)` must follow. */
export function fileHeader(path: string, mode: number, size: number): Buffer {
  return header(path, mode, size, '0', '');
}

export function padding(size: number): Buffer {
  return Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
}

function header(path: string, mode: number, size: number, type: string, target: string): Buffer {
  const relative = path.replace(/^\/+/, '') + (type === '5' ? '/' : '');
  const place = split(relative);
  if (place === undefined || Buffer.byteLength(target) > 100) {
    const records = Buffer.from(paxRecord('path', relative) + (target === '' ? '' : paxRecord('linkpath', target)));
    return Buffer.concat([
      block('pax', '', 0o644, records.length, 'x', ''),
      records,
      padding(records.length),
      block(relative.slice(0, 80), '', mode, size, type, target.slice(0, 80)),
    ]);
  }
  return block(place.name, place.prefix, mode, size, type, target);
}

/** ustar has 100 bytes for the name and 155 for what is before a slash. */
function split(path: string): { name: string; prefix: string } | undefined {
  if (Buffer.byteLength(path) <= 100) return { name: path, prefix: '' };
  for (let slash = path.indexOf('/'); slash > 0; slash = path.indexOf('/', slash + 1)) {
    const [prefix, name] = [path.slice(0, slash), path.slice(slash + 1)];
    if (name !== '' && Buffer.byteLength(name) <= 100 && Buffer.byteLength(prefix) <= 155) return { name, prefix };
  }
  return undefined;
}

/** `LENGTH key=value\n`, where the length counts its own digits. */
function paxRecord(key: string, value: string): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest + String(rest).length;
  if (String(length).length > String(rest).length) length = rest + String(length).length;
  return `${length} ${key}=${value}\n`;
}

function block(name: string, prefix: string, mode: number, size: number, type: string, target: string): Buffer {
  const bytes = Buffer.alloc(BLOCK);
  const octal = (value: number, width: number): string => `${value.toString(8).padStart(width - 1, '0')}\0`;
  bytes.write(name, 0);
  bytes.write(octal(mode, 8), 100);
  bytes.write(octal(0, 8), 108); // user
  bytes.write(octal(0, 8), 116); // group
  bytes.write(octal(size, 12), 124);
  bytes.write(octal(0, 12), 136); // time of change
  bytes.fill(' ', 148, 156); // the checksum counts itself as spaces
  bytes.write(type, 156);
  bytes.write(target, 157);
  bytes.write('ustar\u000000', 257);
  bytes.write(prefix, 345);
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return bytes;
}
