import type { Provider, StatusAPI } from './api.ts';
import type { Report } from './report.ts';

/** A request that writes a status, ready to be sent. */
export interface StatusRequest {
  url: string;
  headers: Readonly<Record<string, string>>;
  /** JSON. */
  body: string;
}

/** Characters that each takes; Gitea names no limit for its own. */
const DESCRIPTION_LENGTH: Readonly<Record<Provider, number>> = { GitHub: 140, GitLab: 255, Gitea: 255 };

const STATES: Readonly<Record<Provider, Readonly<Record<Report['state'], string>>>> = {
  GitHub: { Pending: 'pending', Success: 'success', Failure: 'failure' },
  GitLab: { Pending: 'pending', Success: 'success', Failure: 'failed' },
  Gitea: { Pending: 'pending', Success: 'success', Failure: 'failure' },
};

/**
 * The request that writes a status.
 *
 * - GitHub: POST /repos/OWNER/REPO/statuses/SHA (REST API, "Create a commit status"); the description has at most 140 characters.
 * - GitLab: POST /projects/ID/statuses/SHA ("Set commit pipeline status"); ID is the path, its slashes encoded; at most 255.
 * - Gitea: POST /repos/OWNER/REPO/statuses/SHA (repoCreateStatus).
 */
export function statusRequest({ provider, base, repository }: StatusAPI, report: Report, token: string): StatusRequest {
  const description = cut(report.description, DESCRIPTION_LENGTH[provider]);
  const state = STATES[provider][report.state];
  const common = { 'content-type': 'application/json', 'user-agent': 'backstay' };
  const sha = encodeURIComponent(report.commit);
  switch (provider) {
    case 'GitLab':
      return {
        url: `${base}/projects/${encodeURIComponent(repository)}/statuses/${sha}`,
        headers: { ...common, accept: 'application/json', 'private-token': token },
        // Without ref a commit that only a tag leads to would not be found.
        body: JSON.stringify({ state, description, name: report.context, ref: report.ref }),
      };
    case 'GitHub':
      return {
        url: `${base}/repos/${encoded(repository)}/statuses/${sha}`,
        headers: {
          ...common,
          accept: 'application/vnd.github+json',
          authorization: `Bearer ${token}`,
          'x-github-api-version': '2022-11-28',
        },
        body: JSON.stringify({ state, description, context: report.context }),
      };
    case 'Gitea':
      return {
        url: `${base}/repos/${encoded(repository)}/statuses/${sha}`,
        headers: { ...common, accept: 'application/json', authorization: `token ${token}` },
        body: JSON.stringify({ state, description, context: report.context }),
      };
  }
}

function encoded(repository: string): string {
  return repository.split('/').map(encodeURIComponent).join('/');
}

/** By characters, not by halves of one. */
function cut(text: string, length: number): string {
  const characters = [...text];
  return characters.length > length ? `${characters.slice(0, length - 1).join('')}…` : text;
}
