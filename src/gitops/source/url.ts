import { BackstayError } from '../../api/errors.ts';

/** A repository's address, checked: nothing in it can be an option or choose another transport. */
export interface RepositoryURL {
  readonly transport: 'https' | 'http' | 'ssh';
  /** As it is handed to git. */
  readonly href: string;
  /** host or host:port, for messages. */
  readonly host: string;
  /** User name of an ssh address. */
  readonly user: string | undefined;
}

/** Checks `spec.url`. Fails with `InvalidURL`; a password in it is not repeated in the message. */
export function parseRepositoryURL(text: string): RepositoryURL {
  // `git@host:path`, `ext::command` and paths have no `//` after the scheme; URL would read some of them.
  if (!/^(https?|ssh):\/\/[^\s\\]+$/.test(text) || hasControlCharacters(text)) {
    throw invalid('is not an address of a repository', 'write it as https://, http:// or ssh://');
  }
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw invalid('is not a valid URL', 'write it as https://host/path or ssh://git@host/path');
  }
  const transport = url.protocol.slice(0, -1) as RepositoryURL['transport'];
  if (url.hostname === '' || url.hostname.startsWith('-'))
    throw invalid('has no valid host', 'write it as https://host/path or ssh://git@host/path');
  if (url.password !== '' || (transport !== 'ssh' && url.username !== '')) {
    throw invalid(
      'holds credentials',
      'move them to the Secret that spec.secretRef names, and change them: they were readable in this object',
    );
  }
  if (decodeURIComponentSafely(url.username).startsWith('-'))
    throw invalid('has a user name that begins with a hyphen', 'correct it');
  if (url.search !== '' || url.hash !== '')
    throw invalid('holds a query or a fragment', 'remove what follows the path');
  if (url.pathname === '' || url.pathname === '/') throw invalid('names no repository on the host', 'add its path');
  return { transport, href: url.href, host: url.host, user: url.username === '' ? undefined : url.username };
}

function hasControlCharacters(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
  return /[\x00-\x1f\x7f]/.test(text);
}

function decodeURIComponentSafely(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function invalid(what: string, remedy: string): BackstayError {
  return new BackstayError('InvalidURL', `spec.url ${what}`, { remedy });
}
