import { styleText } from 'node:util';
import { type Complaint, countOf, type PlannedObject, type PlanReport } from './report.ts';
import type { UpcomingRuns } from './schedules.ts';

/** A plan as text of one kind. */
export type Format = (report: PlanReport, style: { color: boolean }) => string;

export const FORMATS = { text: forPeople, json: asJSON } as const satisfies Record<string, Format>;

type Color = 'green' | 'yellow' | 'red' | 'cyan' | 'dim' | 'bold';
type Paint = (color: Color, text: string) => string;

const MARKS: Readonly<Record<PlannedObject['action'], { mark: string; color: Color }>> = {
  create: { mark: '+', color: 'green' },
  change: { mark: '~', color: 'yellow' },
  unchanged: { mark: '=', color: 'dim' },
  refuse: { mark: '!', color: 'red' },
  prune: { mark: '-', color: 'red' },
  skip: { mark: '=', color: 'dim' },
};

/** What changes with its diff, what is new and what goes by name; of the rest only what there is to say about it. */
function forPeople(report: PlanReport, { color }: { color: boolean }): string {
  const paint: Paint = (style, text) => (color ? styleText(style, text, { validateStream: false }) : text);
  const lines = [
    ...report.problems.map((problem) => `${paint('red', '!')} ${place(problem)}${problem.message}`),
    ...report.objects.flatMap((planned) => describe(planned, paint)),
    ...(report.schedules.length === 0 ? [] : ['', 'Schedules:']),
    ...report.schedules.flatMap((runs) => describeRuns(runs, paint)),
  ];
  if (lines.length > 0) lines.push('');
  return `${[...lines, summary(report)].join('\n')}\n`;
}

function describe(
  { action, object, file, line, diff, causes, warnings, reason }: PlannedObject,
  paint: Paint,
): string[] {
  if (action === 'unchanged' && warnings.length === 0) return [];
  const { mark, color } = MARKS[action];
  const where = file === undefined ? '' : paint('dim', `  (${file}:${line})`);
  const why = reason === undefined ? '' : ` is left as it is: ${reason}`;
  return [
    `${paint(color, mark)} ${paint('bold', object)}${why}${where}`,
    ...causes.map((cause) => `    ${place(cause)}${paint('red', 'error')}: ${sentence(cause)}`),
    ...warnings.map((warning) => `    ${paint('yellow', 'warning')}: ${warning}`),
    ...(action === 'change' ? (diff ?? []) : []).map((text) => `    ${paintDiff(text, paint)}`),
  ];
}

function paintDiff(text: string, paint: Paint): string {
  if (text.startsWith('@@')) return paint('cyan', text);
  if (text.startsWith('+')) return paint('green', text);
  return text.startsWith('-') ? paint('red', text) : text;
}

function describeRuns(runs: UpcomingRuns, paint: Paint): string[] {
  const { object, session, schedule, timeZone, paused, fromNow, next } = runs;
  const notes = [...(paused ? ['paused'] : []), ...(fromNow ? ['counted from now'] : [])];
  const note = notes.length === 0 ? '' : paint('yellow', ` (${notes.join(', ')})`);
  return [
    `  ${paint('bold', object)}, session ${session}: "${schedule}" in ${timeZone}${note}`,
    ...next.map(({ time, local }) => `    ${local}  ${paint('dim', time)}`),
  ];
}

function summary(report: PlanReport): string {
  const refused = countOf(report, 'refuse') + report.problems.length;
  const counts = [
    `${countOf(report, 'create')} to create`,
    `${countOf(report, 'change')} to change`,
    `${countOf(report, 'prune')} to prune`,
    `${countOf(report, 'unchanged') + countOf(report, 'skip')} to leave as they are`,
    ...(refused === 0 ? [] : [`${refused} refused`]),
  ];
  return `Plan: ${counts.join(', ')}.`;
}

function place({ file, line, column }: Complaint): string {
  const parts = [file, line, column].filter((part) => part !== undefined);
  return parts.length === 0 ? '' : `${parts.join(':')}: `;
}

function sentence({ field, message }: Complaint): string {
  return field === undefined || message.startsWith(field) ? message : `${field}: ${message}`;
}

function asJSON(report: PlanReport): string {
  return `${JSON.stringify(report, null, 2)}\n`;
}
