import type { PolicySync } from '../generated/types.ts';
import { checkDuration } from './durations.ts';
import { Findings } from './findings.ts';
import { checkPath } from './places.ts';
import type { Rule } from './rule.ts';

/** Judges a PolicySync. Credentials belong into its Secret and are not repeated in a message. */
export const judgePolicySync: Rule<PolicySync> = ({ object }) => {
  const findings = new Findings();
  const { spec } = object;
  if (spec?.url !== undefined) checkUrl(findings, spec.url, spec.secretRef !== undefined);
  if (spec?.commitStatus?.apiURL !== undefined) checkAPI(findings, spec.commitStatus.apiURL, spec.url);
  checkPath(findings, spec?.path?.replace(/^\.\/?/, ''), 'spec.path');
  checkDuration(findings, spec?.interval, 'spec.interval');
  checkDuration(findings, spec?.retryInterval, 'spec.retryInterval');
  checkDuration(findings, spec?.timeout, 'spec.timeout');
  const given = (['commit', 'name', 'semver', 'tag', 'branch'] as const).filter(
    (key) => spec?.ref?.[key] !== undefined,
  );
  if (given.length > 1) findings.warn(`spec.ref: of ${given.join(', ')} only ${given[0]} counts`);
  const mode = spec?.verify?.mode ?? 'HEAD';
  if (mode !== 'HEAD' && spec?.ref?.tag === undefined && spec?.ref?.semver === undefined) {
    findings.warn(`spec.verify.mode: ${mode} needs spec.ref.tag or spec.ref.semver; a branch has no tag`);
  }
  for (const key of ['branch', 'tag', 'name'] as const) {
    const value = spec?.ref?.[key];
    if (value !== undefined && !isRefName(value)) {
      findings.refuse(`spec.ref.${key}`, 'FieldValueInvalid', 'git allows no such name of a reference');
    }
  }
  return findings;
};

function checkUrl(findings: Findings, url: string, hasSecret: boolean): void {
  const parsed = URL.parse(url);
  // The parser would take the first part of the path for the host that is missing.
  if (parsed === null || parsed.hostname === '' || /^\w+:\/\/\//.test(url)) {
    findings.refuse(
      'spec.url',
      'FieldValueInvalid',
      'it must be a URL with a host, such as https://git.example.com/policies',
    );
    return;
  }
  // A user name alone is how ssh:// URLs are written: ssh://git@…
  const credentials = parsed.password !== '' || (parsed.protocol !== 'ssh:' && parsed.username !== '');
  if (credentials) {
    const message = 'it must not hold credentials; put username and password into the Secret that secretRef names';
    findings.refuse('spec.url', 'FieldValueForbidden', message);
  }
  if (parsed.protocol === 'http:' && hasSecret) {
    findings.warn('spec.url: anybody on the way can read the credentials; use https://');
  }
  if (parsed.protocol === 'ssh:' && !hasSecret) {
    findings.warn('spec.secretRef: ssh:// needs a Secret with identity and known_hosts');
  }
}

/** The token goes to this address: it is https, or http only where the repository is read by http from the same server. */
function checkAPI(findings: Findings, apiURL: string, url: string | undefined): void {
  const field = 'spec.commitStatus.apiURL';
  const parsed = URL.parse(apiURL);
  if (parsed === null || /^\w+:\/\/\//.test(apiURL)) {
    findings.refuse(field, 'FieldValueInvalid', 'it must be a URL with a host, such as https://git.example.com/api/v4');
    return;
  }
  if (parsed.username !== '' || parsed.password !== '')
    findings.refuse(field, 'FieldValueForbidden', 'it must not hold credentials; put the token into the Secret');
  if (parsed.search !== '' || parsed.hash !== '')
    findings.refuse(field, 'FieldValueInvalid', 'it must end with the path: no query and no fragment');
  const repository = url === undefined ? null : URL.parse(url);
  const isSameServer = repository?.protocol === 'http:' && repository.host === parsed.host;
  if (parsed.protocol === 'http:' && !isSameServer)
    findings.refuse(field, 'FieldValueInvalid', 'it must be https://, or anybody on the way could read the token');
}

/** The rules of git check-ref-format that a name alone can break. */
function isRefName(name: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what git forbids
  const forbidden = /[\x00-\x20\x7f~^:?*[\\]|\.\.|@\{|\/\/|^[-/]|[/.]$|\.lock$|\/\.|^\.|\.lock\//;
  return name !== '@' && !forbidden.test(name);
}
