/** Naming policies and their sources. */
import { StillpointError } from "../errors.ts";
import type { Config, Policy, Source } from "../policy/config.ts";
import { closest } from "../policy/suggest.ts";

/** Throws `not_found`. */
export function findPolicy({ policies }: Pick<Config, "policies">, name: string): Policy {
  return policies.find((policy) => policy.name === name) ?? missing("policy", name, policies);
}

/** A source of the policy. Throws `not_found`. */
export function findSource({ name: policy, sources }: Policy, name: string): Source {
  return sources.find((source) => source.name === name) ?? missing(`source of the policy ${policy}`, name, sources);
}

function missing(what: string, name: string, known: readonly { readonly name: string }[]): never {
  const names = known.map((one) => one.name);
  const near = closest(name, names);
  throw new StillpointError("not_found", {
    what: `There is no ${what} called ${JSON.stringify(name)}`,
    safe: "Nothing was changed.",
    next: near === undefined ? `There is ${names.join(", ")}.` : `Did you mean ${near}?`,
  });
}
