/** Keeps secrets that came by the environment out of what people and logs get to see. */

const secretName = /pass|secret|token|credential|private|key/i;
/** Blanking out shorter values would mangle ordinary words and hide nothing. */
const shortestSecret = 6;

/** `text` with the values of all variables that are named like a secret blanked out. */
export function withoutSecrets(text: string, env: Readonly<Record<string, string | undefined>>): string {
  const values = Object.entries(env)
    .filter(([name]) => secretName.test(name))
    .map(([, value]) => value ?? "")
    .filter((value) => value.length >= shortestSecret);
  // The longest first: one secret may contain another.
  values.sort((a, b) => b.length - a.length);
  return values.reduce((clean, value) => clean.replaceAll(value, "[redacted]"), text);
}
