import { figuresOf, type Report } from './report.ts';

const ROW = 26;
const [LEFT, WIDTH, RIGHT, TOP] = [330, 420, 130, 56];

/** Every ratio as a point with its spread, on an axis on which 1 is as fast as the other. */
export function plot({ results, peer }: Report): string {
  const rows = results.map(figuresOf);
  const highest = Math.max(2, ...rows.map(({ ratio }) => ratio.max));
  const x = (ratio: number): number => LEFT + (ratio / highest) * WIDTH;
  const height = TOP + rows.length * ROW + 40;
  const bottom = TOP + rows.length * ROW;
  const step = highest > 8 ? 2 : highest > 4 ? 1 : 0.5;
  const ticks = Array.from({ length: Math.floor(highest / step) + 1 }, (_, index) => index * step);
  const lines = ticks.flatMap((tick) => [
    `<line x1="${f(x(tick))}" x2="${f(x(tick))}" y1="${TOP - 6}" y2="${bottom}" class="${tick === 1 ? 'one' : 'grid'}"/>`,
    `<text x="${f(x(tick))}" y="${bottom + 16}" class="middle">${tick}</text>`,
  ]);
  const marks = rows.flatMap(({ title, size, ratio, oursPeakMiB }, index) => {
    const y = TOP + index * ROW + ROW / 2;
    return [
      `<text x="${LEFT - 12}" y="${y + 4}" class="end">${title}, ${size}</text>`,
      `<line x1="${f(x(ratio.min))}" x2="${f(x(ratio.max))}" y1="${y}" y2="${y}" class="spread"/>`,
      `<circle cx="${f(x(ratio.median))}" cy="${y}" r="5" class="point"/>`,
      `<text x="${LEFT + WIDTH + 16}" y="${y + 4}">${oursPeakMiB.toFixed(0)} MiB</text>`,
    ];
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${LEFT + WIDTH + RIGHT} ${height}" font-family="sans-serif" font-size="13">
<title>How many times as fast as ${peer}</title>
<style>
text{fill:#333} .end{text-anchor:end} .middle{text-anchor:middle} .grid{stroke:#ddd} .one{stroke:#888;stroke-dasharray:4 3}
.spread{stroke:#2b6cb0;stroke-width:3;stroke-linecap:round;opacity:.45} .point{fill:#2b6cb0} .title{font-weight:600}
</style>
<rect width="100%" height="100%" fill="#fff"/>
<text x="${LEFT}" y="22" class="title">How many times as fast as ${peer}: median and spread</text>
<text x="${LEFT + WIDTH + 16}" y="${TOP - 14}">peak memory</text>
${[...lines, ...marks].join('\n')}
</svg>
`;
}

function f(value: number): string {
  return value.toFixed(1);
}
