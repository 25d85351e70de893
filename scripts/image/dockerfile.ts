/** `node scripts/image/dockerfile.ts` writes the Dockerfile from the list of contents. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../tools/cache.ts';
import { TOOLS } from '../tools/registry.ts';
import {
  APP,
  APP_FOLDER,
  DATA,
  ENTRYPOINT,
  ENVIRONMENT,
  KUSTOMIZE_PATH,
  KUSTOMIZE_VERSION,
  NOT_AT_RUN_TIME,
  RESTIC_PATH,
  SYSTEM,
  USER,
} from './contents.ts';

/** The Dockerfile's text. */
export function dockerfile(): string {
  const { devDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const node = `node:${devDependencies.node}-bookworm-slim`;
  const packages = [...SYSTEM, ...DATA].map((entry) => entry.package).sort();
  const environment = Object.entries(ENVIRONMENT).map(([name, value]) => `${name}=${value}`);
  // find's POSIX expressions know neither (?:) nor flags: the alternatives are taken out of the pattern.
  const endings = NOT_AT_RUN_TIME.source.replace(/^.*\(\?:|\).*$/g, '').split('|');
  const lines = [
    '# Made from scripts/image/contents.ts by scripts/image/dockerfile.ts: change it there.',
    `FROM restic/restic:${TOOLS.restic.parcel.version} AS restic`,
    '',
    'FROM golang:1.26-bookworm AS kustomize',
    `RUN CGO_ENABLED=0 go install sigs.k8s.io/kustomize/kustomize/v5@v${KUSTOMIZE_VERSION}`,
    '',
    `FROM ${node} AS modules`,
    `WORKDIR ${APP_FOLDER}`,
    'COPY package.json package-lock.json ./',
    'RUN npm ci --omit=dev --ignore-scripts --no-fund --no-audit \\',
    `  && find node_modules -type f \\( ${endings.map((ending) => `-iname '*.${ending}'`).join(' -o ')} \\) -delete`,
    '',
    `FROM ${node}`,
    'RUN apt-get update \\',
    `  && apt-get install -y --no-install-recommends ${packages.join(' ')} \\`,
    '  && rm -rf /var/lib/apt/lists/* \\',
    `  && groupadd --gid ${USER.id} ${USER.name} \\`,
    `  && useradd --uid ${USER.id} --gid ${USER.id} --home-dir /tmp --no-create-home --shell /usr/sbin/nologin ${USER.name}`,
    `COPY --from=restic /usr/bin/restic ${RESTIC_PATH}`,
    `COPY --from=kustomize /go/bin/kustomize ${KUSTOMIZE_PATH}`,
    `COPY --from=modules ${APP_FOLDER}/node_modules ${APP_FOLDER}/node_modules`,
    ...APP.map((name) => `COPY ${name} ${APP_FOLDER}/${name}`),
    ...environment.map((line) => `ENV ${line}`),
    `WORKDIR ${APP_FOLDER}`,
    `USER ${USER.id}:${USER.id}`,
    `ENTRYPOINT ${JSON.stringify(ENTRYPOINT)}`,
  ];
  return `${lines.join('\n')}\n`;
}

if (import.meta.main) writeFileSync(join(ROOT, 'Dockerfile'), dockerfile());
