import { Crc64 } from '../archive/crc64.ts';
import {
  type ArchiveHeader,
  type CollectionEntry,
  dataNamespaceOf,
  encodeNamespaceHeader,
  encodePrelude,
  TERMINATOR,
} from '../archive/format.ts';
import { usedUp } from '../garbage.ts';
import { type Namespace, nameOf } from '../namespace.ts';
import { hasViewlessTimeSeries } from '../version.ts';
import type { EntryBatch } from './documents.ts';
import type { DumpedNamespace } from './result.ts';

interface Open {
  entry: CollectionEntry;
  namespace: Namespace;
  crc: Crc64;
  documents: number;
  bytes: number;
}

/** Writes one archive and counts what is in it, one namespace after the other, so that the same data is the same bytes. */
export class ArchiveWriter {
  readonly namespaces: DumpedNamespace[] = [];
  bytes = 0;
  documents = 0;

  /** @param onBatch called when something of an entry has been handed out */
  async *write(
    header: Omit<ArchiveHeader, 'checked'>,
    entries: CollectionEntry[],
    batches: AsyncIterable<EntryBatch>,
    onBatch: (entry: CollectionEntry) => void,
  ): AsyncGenerator<Uint8Array> {
    const viewless = hasViewlessTimeSeries(header.serverVersion);
    yield this.#count(encodePrelude(header, entries));
    let open: Open | undefined;
    for await (const { entry, batch, last } of batches) {
      if (open === undefined || open.entry !== entry) {
        const namespace = dataNamespaceOf(entry, viewless);
        open = { entry, namespace, crc: new Crc64(), documents: 0, bytes: 0 };
        yield this.#count(encodeNamespaceHeader({ ...namespace, end: false, crc: 0n }));
      }
      open.crc.update(batch.bytes);
      open.documents += batch.documents;
      open.bytes += batch.bytes.length;
      this.documents += batch.documents;
      if (batch.bytes.length > 0) yield this.#count(batch.bytes);
      usedUp(batch.bytes.length);
      if (last) {
        yield this.#count(TERMINATOR);
        const crc = open.crc.value;
        yield this.#count(encodeNamespaceHeader({ ...open.namespace, end: true, crc }));
        const { documents, bytes } = open;
        this.namespaces.push({ name: nameOf(entry), documents, bytes, crc: hexadecimal(crc) });
      }
      onBatch(entry);
    }
  }

  #count(piece: Uint8Array): Uint8Array {
    this.bytes += piece.length;
    return piece;
  }
}

function hexadecimal(crc: bigint): string {
  return BigInt.asUintN(64, crc).toString(16).padStart(16, '0');
}
