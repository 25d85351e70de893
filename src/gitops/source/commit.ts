/** Who made a commit and what it says about itself; free of control characters, and no longer than a line. */
export interface Commit {
  oid: string;
  author: string;
  subject: string;
  /** When it was committed, in milliseconds since 1970, as whoever made it says; undefined when it does not say. */
  committedAt: number | undefined;
}

const SUBJECT_LENGTH = 120;
const AUTHOR_LENGTH = 80;

/** Reads a commit object as git stores it (gitformat: headers, an empty line, the message). */
export function parseCommit(oid: string, raw: string): Commit {
  const end = raw.indexOf('\n\n');
  const headers = end < 0 ? raw : raw.slice(0, end);
  const message = end < 0 ? '' : raw.slice(end + 2);
  const author = /^author (.*?) <[^>\n]*> \d+ [-+]\d+$/m.exec(headers)?.[1] ?? '';
  const seconds = /^committer .*? <[^>\n]*> (\d{1,12}) [-+]\d+$/m.exec(headers)?.[1];
  const committedAt = seconds === undefined ? undefined : Number(seconds) * 1000;
  const subject = message.split('\n').find((line) => line.trim() !== '') ?? '';
  return { oid, author: oneLine(author, AUTHOR_LENGTH), subject: oneLine(subject, SUBJECT_LENGTH), committedAt };
}

function oneLine(text: string, length: number): string {
  const clean = text.replaceAll(/\p{C}/gu, ' ').trim();
  return clean.length > length ? `${clean.slice(0, length - 1)}…` : clean;
}
