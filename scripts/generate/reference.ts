import { API_VERSION } from '../../src/api/group.ts';
import type { KindSource, Source, SourceNode } from './source.ts';
import { sharedName } from './source.ts';

/** A table of the reference: one object with its fields. */
interface Section {
  /** How the text calls it: BackupConfiguration, or a path such as spec.sessions[]. */
  title: string;
  node: SourceNode;
}

/** The reference of every kind as Markdown. */
export function generateReference({ kinds, shared }: Source): string {
  const lines = [
    '<!-- Generated from schemas/ by `npm run generate`. Do not edit. -->',
    '',
    '# API reference',
    '',
    `Every kind is of \`${API_VERSION}\`. \`kubectl explain <kind>.spec\` shows the same.`,
    '',
    '| Kind | Short names | Scope | |',
    '|---|---|---|---|',
    ...kinds.map(
      ({ kind, shortNames, scope, description }) =>
        `| [${kind}](#${kind.toLowerCase()}) | ${shortNames.map((name) => `\`${name}\``).join(', ') || '–'} | ${scope} | ${description} |`,
    ),
    '',
    ...kinds.flatMap(kindLines),
    '## Shared types',
    '',
    ...Object.entries(shared).flatMap(([name, node]) => {
      const { type, items } = node;
      if (type === 'array') return [`### ${name}`, '', `${node.description} A list of ${typeOf(items ?? {}, '')}.`, ''];
      return sectionLines(sections(node, name), 3);
    }),
  ];
  return `${lines.join('\n').trimEnd()}\n`;
}

function kindLines({ kind, description, source, shortNames, plural, scope }: KindSource): string[] {
  const names = [plural, ...shortNames].map((name) => `\`${name}\``).join(', ');
  const [first, ...rest] = sections(source, kind);
  return [
    `## ${kind}`,
    '',
    `${description} ${scope === 'Cluster' ? 'It belongs to the whole cluster.' : 'It belongs to a namespace.'} On the command line: ${names}.`,
    '',
    ...ruleLines(first?.node ?? {}),
    ...sectionLines(rest, 3),
  ];
}

/** The object and those inside it, outermost first. */
function sections(node: SourceNode, title: string): Section[] {
  const list: Section[] = [{ title, node }];
  for (const [key, child] of Object.entries(node.properties ?? {})) {
    const inner = child.type === 'array' ? (child.items ?? {}) : child;
    if (sharedName(inner) !== undefined || inner.properties === undefined) continue;
    list.push(...sections(inner, childTitle(title, key, child)));
  }
  return list;
}

function sectionLines(list: Section[], level: number): string[] {
  return list.flatMap(({ title, node }) => [
    `${'#'.repeat(level)} ${title}`,
    '',
    ...(node.description === undefined ? [] : [node.description, '']),
    ...ruleLines(node),
    '| Field | Type | |',
    '|---|---|---|',
    ...Object.entries(node.properties ?? {}).map(([key, child]) => fieldLine(key, child, node, title)),
    '',
  ]);
}

function ruleLines(node: SourceNode): string[] {
  const rules = node['x-kubernetes-validations'] ?? [];
  return rules.length === 0 ? [] : [...rules.map(({ message }) => `- Rule: ${message}.`), ''];
}

function fieldLine(key: string, node: SourceNode, parent: SourceNode, title: string): string {
  const required = parent.required?.includes(key) ? ' **required**' : '';
  const path = childTitle(title, key, node);
  const text = [node.description ?? '', ...facts(node)].filter(Boolean).join(' ');
  return `| \`${key}\`${required} | ${typeOf(node, path)} | ${text.replaceAll('|', '\\|')} |`;
}

function typeOf(node: SourceNode, path: string): string {
  const referred = sharedName(node);
  if (referred !== undefined) return `[${referred}](#${referred.toLowerCase()})`;
  if (node.type === 'array') {
    const { items = {} } = node;
    return items.properties === undefined ? `list of ${typeOf(items, path)}` : `[list of objects](#${anchorOf(path)})`;
  }
  if (node.type !== 'object') return node.type ?? '';
  if (node.properties !== undefined) return `[object](#${anchorOf(path)})`;
  return node.additionalProperties === undefined ? 'any fields' : `map of ${typeOf(node.additionalProperties, path)}`;
}

/** Bounds and defaults, in words. */
function facts(node: SourceNode): string[] {
  const list: string[] = [];
  if (node.enum !== undefined)
    list.push(`One of ${node.enum.map((value) => `\`${value === '' ? '""' : value}\``).join(', ')}.`);
  if (node.default !== undefined) list.push(`Default \`${JSON.stringify(node.default).replaceAll(/^"|"$/g, '')}\`.`);
  if (node.minimum !== undefined && node.maximum !== undefined && node.maximum < Number.MAX_SAFE_INTEGER) {
    list.push(`${node.minimum} to ${node.maximum}.`);
  }
  if (node.maxItems !== undefined) list.push(`At most ${node.maxItems}.`);
  return list;
}

/** The anchor that GitHub and most renderers give a heading. */
function anchorOf(title: string): string {
  return title
    .toLowerCase()
    .replaceAll(/[^\w\- ]/g, '')
    .replaceAll(' ', '-');
}

/** BackupConfiguration, then BackupConfiguration spec, then BackupConfiguration spec.sessions[]. */
function childTitle(title: string, key: string, child: SourceNode): string {
  return `${title}${title.includes(' ') ? '.' : ' '}${key}${child.type === 'array' ? '[]' : ''}`;
}
