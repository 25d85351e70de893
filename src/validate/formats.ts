import { styleText } from 'node:util';
import { countOf, type Finding, type Report } from './report.ts';

/** A report as text of one kind. */
export type Format = (report: Report, style: { color: boolean }) => string;

export const FORMATS = {
  text: forPeople,
  json: (report) => `${JSON.stringify(report, null, 2)}\n`,
  sarif: asSarif,
  github: asAnnotations,
} as const satisfies Record<string, Format>;

function forPeople(report: Report, { color }: { color: boolean }): string {
  const paint = (style: 'red' | 'yellow' | 'bold' | 'dim', text: string): string =>
    color ? styleText(style, text, { validateStream: false }) : text;
  const lines: string[] = [];
  for (const { level, file, line, column, object, field, message } of report.findings) {
    const mark = level === 'error' ? paint('red', 'error') : paint('yellow', 'warning');
    const where = field === undefined || message.startsWith(field) ? '' : `${paint('bold', field)}: `;
    const what = object === undefined ? '' : paint('dim', `  (${object})`);
    lines.push(`${file}:${line}:${column}: ${mark}: ${where}${message}${what}`);
  }
  const errors = countOf(report, 'error');
  const warnings = countOf(report, 'warning');
  const seen = `${counted(report.objects, 'object')} in ${counted(report.files, 'file')}`;
  const others = report.others === 0 ? '' : `, ${counted(report.others, 'object')} of other kinds left alone`;
  const verdict =
    errors === 0 && warnings === 0 ? 'ok' : `${counted(errors, 'error')}, ${counted(warnings, 'warning')}`;
  return `${lines.map((line) => `${line}\n`).join('')}${seen}: ${verdict}${others}\n`;
}

function counted(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}

/** SARIF 2.1.0 (OASIS), as code scanning of GitHub and GitLab reads it. */
function asSarif({ findings }: Report): string {
  const ids = [...new Set(findings.map(({ reason }) => reason))].toSorted();
  const run = {
    tool: { driver: { name: 'backstay validate', rules: ids.map((id) => ({ id })) } },
    columnKind: 'utf16CodeUnits',
    results: findings.map((finding) => ({
      ruleId: finding.reason,
      level: finding.level,
      message: { text: sentence(finding) },
      locations: [
        {
          physicalLocation: {
            artifactLocation: { uri: encodeURI(finding.file) },
            region: { startLine: finding.line, startColumn: finding.column },
          },
          ...(finding.object === undefined ? {} : { logicalLocations: [{ fullyQualifiedName: finding.object }] }),
        },
      ],
    })),
  };
  const log = { $schema: 'https://json.schemastore.org/sarif-2.1.0.json', version: '2.1.0', runs: [run] };
  return `${JSON.stringify(log, null, 2)}\n`;
}

/** Workflow commands of GitHub Actions, which show findings beside the lines of a pull request. */
function asAnnotations({ findings }: Report): string {
  return findings
    .map((finding) => {
      const { level, file, line, column, object = 'YAML' } = finding;
      const place = `file=${property(file)},line=${line},col=${column},title=${property(object)}`;
      return `::${level} ${place}::${data(sentence(finding))}\n`;
    })
    .join('');
}

function sentence({ field, message }: Finding): string {
  return field === undefined || message.startsWith(field) ? message : `${field}: ${message}`;
}

function data(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

function property(text: string): string {
  return data(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
}
