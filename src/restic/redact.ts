/** Shorter values are words such as "true"; hiding them would only make a text unreadable. */
const SHORTEST_SECRET = 5;

/** Replaces secrets in a text by `***`. */
export type Redact = (text: string) => string;

/**
 * Makes a function that hides the given values, also where they are percent-encoded as in a connection string.
 *
 * It is the last line of defence: secrets are kept out of texts in the first place, but the words of another program are not ours.
 */
export function redactor(secrets: Iterable<string>): Redact {
  const hidden = new Set<string>();
  for (const secret of secrets) {
    // A key file of many lines is repeated line by line, if at all.
    for (const line of secret.split(/\r?\n/)) {
      const value = line.trim();
      if (value.length < SHORTEST_SECRET) continue;
      hidden.add(value);
      hidden.add(encodeURIComponent(value));
      hidden.add(JSON.stringify(value).slice(1, -1));
    }
  }
  // The longest first: one secret may be the beginning of another.
  const ordered = [...hidden].sort((a, b) => b.length - a.length);
  return (text) => ordered.reduce((result, secret) => result.replaceAll(secret, '***'), text);
}
