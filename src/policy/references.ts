/**
 * What one part of the configuration says about another: names that must exist, folders that must not meet. It reads
 * the plain data, so that one mistake elsewhere doesn't hide these.
 */

import { didYouMean } from "./describe-issue.ts";
import type { Path, YamlDocument } from "./document.ts";
import type { Problem } from "./problems.ts";

/** The value at `path` of plain data; undefined when something on the way isn't there. */
function at(value: unknown, path: Path): unknown {
  let current = value;
  for (const key of path) {
    if (typeof current !== "object" || current === null || !Object.hasOwn(current, key)) return undefined;
    current = (current as Record<PropertyKey, unknown>)[key];
  }
  return current;
}

function keysAt(value: unknown, path: Path): string[] {
  const found = at(value, path);
  return typeof found === "object" && found !== null && !Array.isArray(found) ? Object.keys(found) : [];
}

function textAt(value: unknown, path: Path): string | undefined {
  const found = at(value, path);
  return typeof found === "string" && found !== "" ? found : undefined;
}

interface Folder {
  /** For messages. */
  readonly what: string;
  readonly at: Path;
  readonly path: string;
}

/** Contradictions. `resolve` makes comparable paths of written ones. */
export function referenceProblems(document: YamlDocument, resolve: (path: string) => string): Problem[] {
  return [
    ...unknownNames(document),
    ...impossibleGroups(document),
    ...meetingFolders(document, resolve),
    ...meetingBuckets(document),
    ...locksWithoutReplica(document),
    ...impossibleOrigins(document),
  ];
}

function unknownNames({ value, rangeOf, keyRangeOf }: YamlDocument): Problem[] {
  const sources = keysAt(value, ["sources"]);
  const replicas = keysAt(value, ["replicas"]);
  return keysAt(value, ["policies"]).flatMap((policy) => {
    const listed = at(value, ["policies", policy, "sources"]);
    const names = Array.isArray(listed) ? listed.filter((entry) => typeof entry === "string") : [];
    const problems: Problem[] = names.flatMap((name, index) => {
      const range = rangeOf(["policies", policy, "sources", index]);
      if (!sources.includes(name))
        return [{ range, message: `there is no source \`${name}\`${didYouMean(name, sources)}` }];
      return names.indexOf(name) < index ? [{ range, message: `the source \`${name}\` is in this list twice` }] : [];
    });
    for (const name of keysAt(value, ["policies", policy, "replicate"])) {
      if (replicas.includes(name)) continue;
      const range = keyRangeOf(["policies", policy, "replicate", name]);
      problems.push({ range, message: `there is no replica \`${name}\`${didYouMean(name, replicas)}` });
    }
    return problems;
  });
}

/** One instant for several sources: only virtual machines can all be made to stand still at once. */
function impossibleGroups({ value, rangeOf }: YamlDocument): Problem[] {
  return keysAt(value, ["policies"]).flatMap((policy): Problem[] => {
    if (at(value, ["policies", policy, "together"]) !== true) return [];
    const listed = at(value, ["policies", policy, "sources"]);
    const names = Array.isArray(listed) ? listed.filter((entry) => typeof entry === "string") : [];
    const range = rangeOf(["policies", policy, "together"]);
    if (names.length < 2)
      return [{ range, message: "one source alone is always of one instant: `together` needs two" }];
    const others = names.filter((name) => {
      const kinds = keysAt(value, ["sources", name]);
      return kinds.length > 0 && !kinds.includes("vm");
    });
    if (others.length === 0) return [];
    const which = others.map((name) => `\`${name}\``).join(", ");
    return [{ range, message: `only virtual machines can be captured at one instant; no \`vm\`: ${which}` }];
  });
}

/** The repository, the state and each replica need a folder of their own; a source can't be inside one of them. */
function meetingFolders(document: YamlDocument, resolve: (path: string) => string): Problem[] {
  const { value, rangeOf } = document;
  const folder = (what: string, path: Path): Folder[] => {
    const text = textAt(value, path);
    return text === undefined ? [] : [{ what, at: path, path: resolve(text) }];
  };
  const stores = [
    ...folder("the repository", ["repository", "path"]),
    ...folder("the state folder", ["repository", "state"]),
    ...keysAt(value, ["replicas"]).flatMap((name) => folder(`the replica \`${name}\``, ["replicas", name, "path"])),
  ];
  const problems: Problem[] = [];
  for (const [index, second] of stores.entries()) {
    for (const first of stores.slice(0, index)) {
      const meeting = isInside(second.path, first.path)
        ? [second, first]
        : isInside(first.path, second.path)
          ? [first, second]
          : [];
      const [inner, outer] = meeting;
      if (inner === undefined || outer === undefined) continue;
      const where = inner.path === outer.path ? "has the same folder as" : "is inside";
      problems.push({
        range: rangeOf(second.at),
        message: `${inner.what} ${where} ${outer.what}; each needs a folder of its own`,
      });
    }
  }
  for (const name of keysAt(value, ["sources"])) {
    for (const kind of ["directory", "image"]) {
      for (const source of folder(`the source \`${name}\``, ["sources", name, kind, "path"])) {
        const store = stores.find(({ path }) => isInside(source.path, path));
        if (store === undefined) continue;
        const message = `${source.what} is inside ${store.what}: Stillpoint would capture its own data`;
        problems.push({ range: rangeOf(source.at), message });
      }
    }
  }
  return problems;
}

/** Replicas of one bucket need prefixes of their own: one replica is no second copy of itself. */
function meetingBuckets({ value, rangeOf }: YamlDocument): Problem[] {
  const inBuckets = keysAt(value, ["replicas"]).flatMap((name) => {
    const place: Path = ["replicas", name, "s3"];
    const [bucket, endpoint = "", prefix = ""] = ["bucket", "endpoint", "prefix"].map((key) =>
      textAt(value, [...place, key])?.replace(/\/$/, ""),
    );
    return bucket === undefined ? [] : [{ name, place, store: `${endpoint} ${bucket}`, path: `/${prefix}` }];
  });
  return inBuckets.flatMap((second, index): Problem[] => {
    const first = inBuckets
      .slice(0, index)
      .find(
        ({ store, path }) => store === second.store && (isInside(path, second.path) || isInside(second.path, path)),
      );
    if (first === undefined) return [];
    const message = `the replicas \`${first.name}\` and \`${second.name}\` meet in one bucket; each needs a prefix of its own`;
    return [{ range: rangeOf(second.place), message }];
  });
}

/** Replicas that are to get their points from one that doesn't have them. */
function impossibleOrigins({ value, rangeOf }: YamlDocument): Problem[] {
  const replicas = keysAt(value, ["replicas"]);
  return keysAt(value, ["policies"]).flatMap((policy) => {
    const place = (name: string): Path => ["policies", policy, "replicate", name, "from"];
    const names = keysAt(value, ["policies", policy, "replicate"]);
    const origins = new Map(names.map((name) => [name, textAt(value, place(name))]));
    return names.flatMap((name): Problem[] => {
      const message = originProblem(name, origins, replicas);
      return message === undefined ? [] : [{ range: rangeOf(place(name)), message }];
    });
  });
}

/** `origins`: by the names of one policy's replicas, in the order of the file; undefined where it is the primary. */
function originProblem(
  name: string,
  origins: ReadonlyMap<string, string | undefined>,
  replicas: readonly string[],
): string | undefined {
  const from = origins.get(name);
  if (from === undefined) return undefined;
  if (from === name) return `\`${name}\` can't be sent what it has itself`;
  if (!replicas.includes(from)) return `there is no replica \`${from}\`${didYouMean(from, replicas)}`;
  if (!origins.has(from))
    return `this policy sends nothing to \`${from}\`: name it under \`replicate\` as well, or leave \`from\` out`;
  const way = [name];
  for (let next: string | undefined = from; next !== undefined && !way.includes(next); next = origins.get(next))
    way.push(next);
  // Said once, where the first of the circle stands.
  const circle = origins.get(way.at(-1) ?? "") === name;
  if (!circle || [...origins.keys()].find((one) => way.includes(one)) !== name) return undefined;
  return `a circle, which nothing from the primary ever gets into: ${[...way, name].join(" from ")}`;
}

/** A policy that locks, at a replica that doesn't. */
function locksWithoutReplica({ value, rangeOf }: YamlDocument): Problem[] {
  return keysAt(value, ["policies"]).flatMap((policy) =>
    keysAt(value, ["policies", policy, "replicate"]).flatMap((name): Problem[] => {
      const lock: Path = ["policies", policy, "replicate", name, "lock"];
      const mode = at(value, ["replicas", name, "object_lock"]) ?? "off";
      if (at(value, lock) === undefined || at(value, ["replicas", name]) === undefined || mode !== "off") return [];
      const can = keysAt(value, ["replicas", name]).includes("s3");
      const message = can
        ? `the replica \`${name}\` has no \`object_lock\`: say there \`governance\` or \`compliance\``
        : `the replica \`${name}\` can't lock anything: only buckets of S3 can`;
      return [{ range: rangeOf(lock), message }];
    }),
  );
}

/** Whether `inner` is `outer`, or below it. Both are normal: no `..`, no `/` at the end. */
export function isInside(inner: string, outer: string): boolean {
  return inner === outer || inner.startsWith(outer === "/" ? "/" : `${outer}/`);
}

/** What is allowed but hardly meant. */
export function referenceWarnings({ value, keyRangeOf }: YamlDocument): Problem[] {
  const policies = keysAt(value, ["policies"]);
  const used = new Set(policies.flatMap((policy) => at(value, ["policies", policy, "sources"])));
  const copied = new Set(policies.flatMap((policy) => keysAt(value, ["policies", policy, "replicate"])));
  const unused = (kind: string, names: string[], known: Set<unknown>, effect: string): Problem[] =>
    names
      .filter((name) => !known.has(name))
      .map((name) => ({ range: keyRangeOf([kind, name]), message: `no policy names \`${name}\`: ${effect}` }));
  const locked = new Set(
    policies.flatMap((policy) =>
      keysAt(value, ["policies", policy, "replicate"]).filter(
        (name) => at(value, ["policies", policy, "replicate", name, "lock"]) !== undefined,
      ),
    ),
  );
  const unlocked = keysAt(value, ["replicas"]).filter(
    (name) => (at(value, ["replicas", name, "object_lock"]) ?? "off") !== "off" && !locked.has(name),
  );
  return [
    ...unlocked.map((name) => ({
      range: keyRangeOf(["replicas", name, "object_lock"]),
      message: `no policy has a \`lock\` for \`${name}\`: nothing is locked there`,
    })),
    ...unused("replicas", keysAt(value, ["replicas"]), copied, "nothing is sent there"),
    ...unused("sources", keysAt(value, ["sources"]), used, "it is never captured"),
  ];
}
