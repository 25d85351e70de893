import { BackstayError } from '../../api/errors.ts';
import type { RepositoryURL } from '../source/url.ts';

/** Whose API is spoken; Forgejo has that of Gitea. */
export type Provider = 'GitHub' | 'GitLab' | 'Gitea';

/** Where the statuses of a repository's commits are written. */
export interface StatusAPI {
  readonly provider: Provider;
  /** Without a slash at the end. */
  readonly base: string;
  /** The repository as the API names it: `owner/name`, in GitLab with all groups. */
  readonly repository: string;
}

/** What follows the host in the address of the API of an own server. */
const API_PATH: Readonly<Record<Provider, string>> = { GitHub: '/api/v3', GitLab: '/api/v4', Gitea: '/api/v1' };

/**
 * The API for a repository; derived from its URL unless `apiURL` says where it is. Over ssh the host is taken, and https.
 *
 * The API is asked with the rights of whoever runs Backstay to reach addresses, so it is https, or http only where the repository itself is
 * read from the same address by http.
 *
 * Fails with `InvalidURL`.
 */
export function statusAPI(provider: Provider, url: RepositoryURL, apiURL: string | undefined): StatusAPI {
  const base = apiURL === undefined ? defaultBase(provider, url) : checkedBase(apiURL, url);
  const root = new URL(base);
  return { provider, base, repository: repositoryPath(provider, url, root) };
}

function defaultBase(provider: Provider, { transport, href }: RepositoryURL): string {
  const { host, hostname } = new URL(href);
  const name = hostname.toLowerCase();
  if (provider === 'GitHub') {
    // ssh.github.com takes ssh on port 443; NAME.ghe.com is GitHub's own hosting for an enterprise.
    if (name === 'github.com' || name === 'ssh.github.com') return 'https://api.github.com';
    if (name.endsWith('.ghe.com')) return `https://api.${name}`;
  }
  // The port of an ssh address is not the one that the API listens on.
  const [scheme, address] = transport === 'ssh' ? ['https', hostname] : [transport, host];
  return `${scheme}://${address}${API_PATH[provider]}`;
}

function checkedBase(text: string, { transport, host }: RepositoryURL): string {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:'))
    throw invalid('is not an address of an API', 'write it as https://host/path');
  if (url.username !== '' || url.password !== '')
    throw invalid('holds credentials', 'move the token to the Secret that spec.commitStatus.secretRef names');
  if (url.search !== '' || url.hash !== '')
    throw invalid('holds a query or a fragment', 'remove what follows the path');
  if (url.protocol === 'http:' && (transport !== 'http' || url.host !== host))
    throw invalid('is plain http, and the repository is not read by http from there', 'use https://');
  return url.href.replace(/\/+$/, '');
}

/** The path of the repository below the root of the server, without `.git`. */
function repositoryPath(provider: Provider, { href, transport }: RepositoryURL, api: URL): string {
  const url = new URL(href);
  // A server below a path of its host: https://host/git/owner/name with https://host/git/api/v1.
  const root = api.pathname.endsWith(API_PATH[provider]) ? api.pathname.slice(0, -API_PATH[provider].length) : '';
  const isBelow = transport !== 'ssh' && root !== '' && url.pathname.startsWith(`${root}/`);
  const path = isBelow ? url.pathname.slice(root.length) : url.pathname;
  const parts = path
    .replace(/\/+$/, '')
    .replace(/\/?\.git$/, '')
    .split('/')
    .filter((part) => part !== '')
    .map(decoded);
  const isWhole = provider === 'GitLab' ? parts.length >= 2 : parts.length === 2;
  if (!isWhole || parts.some((part) => part === '.' || part === '..' || part.includes('/')))
    throw new BackstayError('InvalidURL', `spec.url names no repository as ${provider} does, OWNER/NAME`, {
      remedy: 'correct spec.url; for a server below a path of its host, set spec.commitStatus.apiURL',
    });
  return parts.join('/');
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function invalid(what: string, remedy: string): BackstayError {
  return new BackstayError('InvalidURL', `spec.commitStatus.apiURL ${what}`, { remedy });
}
