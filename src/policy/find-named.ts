/** Finding what a configuration has by its name. */
import { StillpointError } from "../errors.ts";
import type { Config, Policy, Source } from "./config.ts";
import { closest } from "./suggest.ts";

/**
 * The one of that name. `what` it would be, and `where` it isn't, are for the message: "policy", "the configuration". Throws `not_found`,
 * with what was probably meant, or with what there is.
 */
export function findNamed<T extends { readonly name: string }>(
  all: readonly T[],
  name: string,
  what: string,
  where = "the configuration",
): T {
  const found = all.find((one) => one.name === name);
  if (found !== undefined) return found;
  const names = all.map((one) => one.name);
  const near = closest(name, names);
  const known = names.length === 0 ? `There is no ${what} in it.` : `It has ${names.join(", ")}.`;
  throw new StillpointError("not_found", {
    what: `There is no ${what} ${JSON.stringify(name)} in ${where}`,
    safe: "Nothing was changed.",
    next: near === undefined ? known : `Did you mean ${near}?`,
  });
}

/** Throws `not_found`. */
export function findPolicy({ policies }: Pick<Config, "policies">, name: string): Policy {
  return findNamed(policies, name, "policy");
}

/** A source of the policy. Throws `not_found`. */
export function findSource({ name: policy, sources }: Policy, name: string): Source {
  return findNamed(sources, name, "source", `the policy ${policy}`);
}
