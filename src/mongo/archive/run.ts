import { MAX_DOCUMENT_BYTES } from './format.ts';

export const NO_ZERO = 'a document does not end with a zero';

export interface Run {
  bytes: number;
  documents: number;
  /** Why the run stops behind its last document. */
  stop: 'terminator' | 'full' | 'length' | 'partial' | { problem: string };
  /** Length of the document that is there in part. */
  length: number;
}

/**
 * The whole documents at the beginning of a chunk, up to a number of bytes and documents; the first one may be longer when `first` says
 * that it begins a batch.
 */
export function wholeDocuments(chunk: Uint8Array, room: number, count: number, first: boolean): Run {
  let bytes = 0;
  let documents = 0;
  for (;;) {
    if (bytes + 4 > chunk.length) return { bytes, documents, stop: 'length', length: 0 };
    const length = readInt32(chunk, bytes);
    if (length === -1) return { bytes, documents, stop: 'terminator', length };
    const problem = lengthProblem(length);
    if (problem !== undefined) return { bytes, documents, stop: { problem }, length };
    const begins = first && documents === 0;
    if (!begins && (bytes + length > room || documents >= count)) return { bytes, documents, stop: 'full', length };
    if (bytes + length > chunk.length) return { bytes, documents, stop: 'partial', length };
    if (chunk[bytes + length - 1] !== 0) return { bytes, documents, stop: { problem: NO_ZERO }, length };
    bytes += length;
    documents += 1;
  }
}

export function readInt32(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24);
}

export function lengthProblem(length: number): string | undefined {
  return length < 5 || length > MAX_DOCUMENT_BYTES ? `a document cannot be ${length} bytes long` : undefined;
}
