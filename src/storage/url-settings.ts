/** Settings in the query of a place's URL. */

/** What a query gives, each of `names` at most once. Throws what `unusable` makes of the reason. */
export function readSettings<Name extends string>(
  query: string,
  names: readonly Name[],
  unusable: (why: string) => Error,
): Map<Name, string> {
  const given = new Map<Name, string>();
  for (const [key, value] of new URLSearchParams(query)) {
    const name = names.find((one) => one === key);
    // The value isn't repeated: who guesses at settings may have written a secret there.
    if (name === undefined) throw unusable(`it knows no ${JSON.stringify(key)}, only ${names.join(", ")}`);
    if (given.has(name)) throw unusable(`it has ${name} twice`);
    given.set(name, value);
  }
  return given;
}
