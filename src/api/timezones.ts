// The API server reads a CronJob's timeZone case-sensitively from the IANA database (validateTimeZone in pkg/apis/batch/validation);
// Intl reads names in any case and offsets such as +01:00 too, so the difference is checked here.
const PART = /^[A-Z][A-Za-z._0-9+-]{0,13}$/;

const WEEK_MS = 7 * 86_400_000;
const REMEMBERED_WEEKS = 2000;

const formatters = new Map<string, Intl.DateTimeFormat>();
const remembered = new Map<string, Map<number, number>>();

/** What is wrong with a time zone's name, or undefined when a CronJob may have it. */
export function timeZoneProblem(name: string): string | undefined {
  const problem = `"${name}" is no time zone of the IANA database`;
  if (/^local$/i.test(name)) return `${problem}: name the zone itself, such as Europe/Berlin`;
  const known = canonicalName(name);
  if (known === undefined || /^[+-]/.test(known)) return `${problem}, such as Europe/Berlin or UTC`;
  if (known !== name && known.toLowerCase() === name.toLowerCase()) return `${problem}; did you mean ${known}?`;
  if (!name.split('/').every((part) => PART.test(part) && !part.startsWith('.'))) {
    return `${problem}: upper and lower case matter`;
  }
  return undefined;
}

/** How far the zone's clock is ahead of UTC at a moment (milliseconds since 1970), in milliseconds. */
export function zoneOffset(timeZone: string, moment: number): number {
  if (timeZone === 'UTC') return 0;
  const week = Math.floor(moment / WEEK_MS);
  const offset = weekOffset(timeZone, week);
  // No zone changes its offset twice within a week: equal ends mean that it is the same all week long.
  return offset === weekOffset(timeZone, week + 1) ? offset : readOffset(timeZone, moment);
}

/** The offset at the beginning of a week, remembered: searching for a time asks for the same weeks over and over. */
function weekOffset(timeZone: string, week: number): number {
  let weeks = remembered.get(timeZone);
  if (weeks === undefined || weeks.size > REMEMBERED_WEEKS) {
    weeks = new Map();
    remembered.set(timeZone, weeks);
  }
  let offset = weeks.get(week);
  if (offset === undefined) {
    offset = readOffset(timeZone, week * WEEK_MS);
    weeks.set(week, offset);
  }
  return offset;
}

function readOffset(timeZone: string, moment: number): number {
  const fields: Record<string, number> = {};
  for (const { type, value } of formatter(timeZone).formatToParts(moment)) fields[type] = Number(value);
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = fields;
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(moment / 1000) * 1000;
}

function canonicalName(name: string): string | undefined {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone;
  } catch {
    return undefined;
  }
}

function formatter(timeZone: string): Intl.DateTimeFormat {
  let found = formatters.get(timeZone);
  if (found === undefined) {
    found = new Intl.DateTimeFormat('en-US', {
      timeZone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    formatters.set(timeZone, found);
  }
  return found;
}
