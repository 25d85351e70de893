const CONTEXT = 3;
/** More edits than this are shown as one replacement: nobody reads them, and to find the fewest takes their square. */
const MOST_EDITS = 2000;

interface Edit {
  sign: ' ' | '-' | '+';
  text: string;
}

/** The differences between two texts as hunks of a unified diff, without the two lines that name files; nothing where they are equal. */
export function unifiedDiff(before: string, after: string): string[] {
  const edits = editsOf(linesOf(before), linesOf(after));
  const lines: string[] = [];
  let [oldLine, newLine, index] = [1, 1, 0];
  while (index < edits.length) {
    const first = edits.findIndex(({ sign }, at) => at >= index && sign !== ' ');
    if (first < 0) break;
    const start = Math.max(index, first - CONTEXT);
    [oldLine, newLine] = [oldLine + start - index, newLine + start - index];
    let end = start;
    let quiet = 0;
    // A hunk goes on until so many lines are the same that the next one would not touch it.
    for (end = first; end < edits.length && quiet <= 2 * CONTEXT; end++)
      quiet = edits[end]?.sign === ' ' ? quiet + 1 : 0;
    end -= Math.max(0, quiet - CONTEXT);
    const hunk = edits.slice(start, end);
    const [olds, news] = [hunk.filter(({ sign }) => sign !== '+'), hunk.filter(({ sign }) => sign !== '-')];
    lines.push(`@@ -${range(oldLine, olds.length)} +${range(newLine, news.length)} @@`);
    lines.push(...hunk.map(({ sign, text }) => `${sign}${text}`));
    [oldLine, newLine, index] = [oldLine + olds.length, newLine + news.length, end];
  }
  return lines;
}

/** A range of no lines is named by the line before it. */
function range(start: number, count: number): string {
  return count === 1 ? `${start}` : `${count === 0 ? start - 1 : start},${count}`;
}

function linesOf(text: string): string[] {
  return text === '' ? [] : text.replace(/\n$/, '').split('\n');
}

function editsOf(before: readonly string[], after: readonly string[]): Edit[] {
  let head = 0;
  while (head < before.length && head < after.length && before[head] === after[head]) head++;
  let tail = 0;
  const most = Math.min(before.length, after.length) - head;
  while (tail < most && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail++;
  const same = (text: string): Edit => ({ sign: ' ', text });
  return [
    ...before.slice(0, head).map(same),
    ...fewestEdits(before.slice(head, before.length - tail), after.slice(head, after.length - tail)),
    ...before.slice(before.length - tail).map(same),
  ];
}

/** The greedy algorithm of E. Myers, An O(ND) Difference Algorithm and Its Variations (1986). */
function fewestEdits(before: readonly string[], after: readonly string[]): Edit[] {
  const reached: Map<number, number>[] = [];
  let furthest = new Map([[1, 0]]);
  for (let edits = 0; edits <= Math.min(before.length + after.length, MOST_EDITS); edits++) {
    const next = new Map<number, number>();
    for (let diagonal = -edits; diagonal <= edits; diagonal += 2) {
      let x = stepFrom(furthest, diagonal, edits).x;
      while (x < before.length && x - diagonal < after.length && before[x] === after[x - diagonal]) x++;
      next.set(diagonal, x);
      if (x < before.length || x - diagonal < after.length) continue;
      return trace(before, after, [...reached, furthest]);
    }
    reached.push(furthest);
    furthest = next;
  }
  return [...before.map((text): Edit => ({ sign: '-', text })), ...after.map((text): Edit => ({ sign: '+', text }))];
}

/** Where a diagonal is entered: from the one above by an insertion, or from the one below by a deletion. */
function stepFrom(furthest: ReadonlyMap<number, number>, diagonal: number, edits: number): { x: number; from: number } {
  const [left, right] = [furthest.get(diagonal - 1) ?? -1, furthest.get(diagonal + 1) ?? -1];
  const inserts = diagonal === -edits || (diagonal !== edits && left < right);
  return inserts ? { x: right, from: diagonal + 1 } : { x: left + 1, from: diagonal - 1 };
}

function trace(before: readonly string[], after: readonly string[], reached: readonly Map<number, number>[]): Edit[] {
  const found: Edit[] = [];
  let [x, y] = [before.length, after.length];
  for (let edits = reached.length - 1; edits >= 0; edits--) {
    const diagonal = x - y;
    const { x: entry, from } = stepFrom(reached[edits] ?? new Map(), diagonal, edits);
    for (; x > entry && y > entry - diagonal; x--, y--) found.push({ sign: ' ', text: before[x - 1] ?? '' });
    if (edits === 0) break;
    if (from > diagonal) found.push({ sign: '+', text: after[--y] ?? '' });
    else found.push({ sign: '-', text: before[--x] ?? '' });
  }
  return found.reverse();
}
