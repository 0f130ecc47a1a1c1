/** What may be handed to the system's ssh: nothing that it would take for an option, or for signs of its own. */

/** A name (also one that only ssh_config knows) or an IP address. */
export function isSshHost(text: string): boolean {
  return /^(?:[A-Za-z0-9_][A-Za-z0-9._-]{0,252}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9._-]+)?)$/.test(text);
}

export function isSshUser(text: string): boolean {
  return /^[A-Za-z0-9_][A-Za-z0-9._@+-]{0,255}$/.test(text);
}

/** A file that an option names: quotes, `%` and `$` have a meaning there. */
export function isSshFile(text: string): boolean {
  return /^[^"%$\\\p{Cc}]+$/u.test(text);
}
