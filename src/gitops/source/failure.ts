import { BackstayError } from '../../api/errors.ts';

/** What git's words on standard error stand for, first match first. */
const CAUSES: readonly { code: string; pattern: RegExp; what: string; remedy: string }[] = [
  {
    code: 'GitNotFound',
    pattern: /spawn git ENOENT|git: not found/,
    what: 'git is not installed here',
    remedy: 'use the image of Backstay, or install git',
  },
  {
    code: 'RedirectRefused',
    pattern: /unable to update url base from redirection|The requested URL returned error: 30\d/i,
    what: 'the server redirects to another address',
    remedy: 'put that address into spec.url',
  },
  {
    code: 'TLSFailed',
    pattern:
      /SSL certificate problem|server certificate verification failed|certificate verify failed|SSL peer certificate|gnutls_handshake|SSL_connect|error setting certificate/i,
    what: 'the certificate of the server is not trusted',
    remedy: 'put the certificate authority into ca.crt of the Secret that spec.secretRef names',
  },
  {
    // Before HostKeyUnknown, whose words ssh says too. A key of another type than the known one counts as changed for ssh as well.
    code: 'HostKeyChanged',
    pattern: /REMOTE HOST IDENTIFICATION HAS CHANGED/i,
    what: 'the server shows another host key than known_hosts has for it: it was set up anew, or somebody stands in between',
    remedy: 'ask who runs the server; only when they confirm the new key, put it into known_hosts of the Secret',
  },
  {
    code: 'HostKeyUnknown',
    pattern: /Host key verification failed|No \S+ host key is known/i,
    what: 'known_hosts has no host key for the server',
    remedy: 'put the output of ssh-keyscan into known_hosts of the Secret, after checking it',
  },
  {
    // ssh goes on without the key and is denied, so that this comes before AuthenticationFailed.
    code: 'KeyInvalid',
    pattern: /Load key ".*": (invalid format|error in libcrypto)/i,
    what: 'the private key cannot be read: it is no key, is cut off, or has a passphrase',
    remedy: 'put the whole private key, in OpenSSH or PEM form and without a passphrase, into identity of the Secret',
  },
  {
    code: 'AuthenticationFailed',
    pattern:
      /Authentication failed|could not read (Username|Password)|terminal prompts disabled|Permission denied|The requested URL returned error: 40[13]|HTTP Basic: Access denied|Invalid username or password/i,
    what: 'the server does not let us in',
    remedy: 'check the Secret that spec.secretRef names, and that its account may read the repository',
  },
  {
    code: 'RateLimited',
    pattern: /The requested URL returned error: 429/i,
    what: 'the server has had too many requests from here',
    remedy:
      'it is tried again by itself; when it happens often, raise spec.interval, or give a Secret whose account has a higher limit',
  },
  {
    code: 'RepositoryNotFound',
    pattern:
      /repository '.*' not found|Repository not found|does not appear to be a git repository|The requested URL returned error: 404|not found: did you run git update-server-info/i,
    what: 'there is no such repository, or it is hidden from this account',
    remedy: 'check spec.url and the Secret that spec.secretRef names',
  },
  {
    code: 'RefNotFound',
    pattern: /couldn't find remote ref|no such remote ref|not our ref|unadvertised object|upload-pack: not our ref/i,
    what: 'the repository does not have what spec.ref names, or does not hand it out',
    remedy: 'push it or correct spec.ref; some servers hand out a commit only by a branch or tag that leads to it',
  },
  {
    code: 'TransportRefused',
    pattern: /transport '.*' not allowed/i,
    what: 'its transport is not allowed',
    remedy: 'write spec.url as https://, http:// or ssh://',
  },
  {
    code: 'ContentRefused',
    pattern:
      /fsck error|error: object [0-9a-f]+: \w+:|error in (tree|blob|commit|tag|object)|gitmodules(Url|Name|Path|Update)|attempting to allocate/i,
    what: 'the repository holds an object that git considers unsafe or broken',
    remedy: 'run git fsck on the repository and rewrite that object',
  },
  {
    code: 'CacheBroken',
    pattern:
      /not a git repository|bad object|object file .* is empty|loose object .* is corrupt|packfile .* (is|cannot)|invalid index-pack|index-pack failed|bad config|unable to read (tree|sha1)|\.lock': File exists|missing (blob|tree|commit) object|index file corrupt/i,
    what: 'the local copy of the repository is damaged',
    remedy: 'it is fetched anew by itself',
  },
  {
    code: 'Unreachable',
    pattern:
      /Could not resolve host|Couldn't connect|Failed to connect|Connection (refused|reset|timed out|closed)|Operation timed out|Operation too slow|No route to host|Network is unreachable|early EOF|unexpected disconnect|the remote end hung up|RPC failed|Empty reply|The requested URL returned error: 5\d\d|Recv failure|transfer closed|Name or service not known|unexpected eof|expected flush|invalid server response|bad line length|Could not read from remote/i,
    what: 'the server cannot be reached or broke off',
    remedy: 'check spec.url, the network policies and the server',
  },
];

const DETAIL_LENGTH = 300;

/** The error for what git said when it failed, without any secret; the library's own error, which holds them, is not kept. */
export function gitFailure(host: string, said: string, secrets: readonly string[]): BackstayError {
  const found = CAUSES.find(({ pattern }) => pattern.test(said));
  const detail = summarise(redact(said, secrets));
  if (found === undefined)
    return new BackstayError('GitFailed', `Cannot read the repository at ${host}: git says: ${detail}`);
  const details = found.code === 'GitNotFound' ? '' : ` (git says: ${detail})`;
  return new BackstayError(found.code, `Cannot read the repository at ${host}: ${found.what}${details}`, {
    remedy: found.remedy,
  });
}

/** Text that may be shown: without secrets, credentials in URLs, query strings and control characters. */
export function redact(text: string, secrets: readonly string[]): string {
  let shown = text;
  for (const secret of secrets) if (secret !== '') shown = shown.replaceAll(secret, '***');
  return (
    shown
      .replaceAll(/(\w+:\/\/)[^\s/@]+@/g, '$1***@')
      .replaceAll(/(https?:\/\/[^\s?']+)\?[^\s']*/g, '$1')
      .replaceAll(/(Authorization:\s*)[^\r\n]+/gi, '$1***')
      // What differs from one try to the next would make a new status of the same failure.
      .replaceAll(/ (after|with) \d+(\.\d+)? (ms|milliseconds|seconds|bytes)\b( received| out of \d+ bytes)?/g, '')
      // biome-ignore lint/suspicious/noControlCharactersInRegex: a server may send a terminal's escape sequences
      .replaceAll(/[\x00-\x09\x0b-\x1f\x7f]/g, ' ')
  );
}

/** The lines that say what was wrong, on one line. */
function summarise(said: string): string {
  const lines = said.split('\n').map((line) => line.trim());
  const telling = lines.filter((line) => /^(fatal|error|remote|ERROR|ssh|Host key|.*Permission denied)/.test(line));
  const text = (telling.length > 0 ? telling : lines).filter((line) => line !== '' && line !== 'remote:').join('; ');
  return text.length > DETAIL_LENGTH ? `${text.slice(0, DETAIL_LENGTH)}…` : text;
}
