/** What zod finds, in the words of the person who wrote the file. */

import * as z from "zod";
import type { Path, YamlDocument } from "./document.ts";
import type { Problem } from "./problems.ts";
import { closest } from "./suggest.ts";

const kinds: Record<string, string> = {
  array: "a list",
  boolean: "true or false",
  int: "a whole number",
  null: "nothing",
  number: "a number",
  object: "a map of settings",
  record: "a map of names",
  string: "text",
};

function kindOf(value: unknown): string {
  if (value === null) return "nothing";
  if (Array.isArray(value)) return "a list";
  return kinds[typeof value] ?? typeof value;
}

const otherwise = "this value can't be used here";

/** What a schema with no words of its own says: given to zod as the error map of a parse. */
export function issueMessage(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case "invalid_type":
      if (issue.input === undefined) return "missing";
      return `expected ${kinds[issue.expected] ?? issue.expected}, found ${kindOf(issue.input)}${quoting(issue)}`;
    case "invalid_value":
      if (issue.input === undefined) return "missing";
      return `expected ${issue.values.map((value) => `\`${String(value)}\``).join(" or ")}${didYouMean(issue.input, issue.values.map(String))}`;
    case "unrecognized_keys":
      // The settings that there are; `problemsOf` makes a sentence for each key.
      return issue.inst instanceof z.ZodObject ? Object.keys(issue.inst.shape).join(", ") : "";
    case "too_small":
      return `expected ${String(issue.minimum)} at least`;
    case "too_big":
      return `expected ${String(issue.maximum)} at most`;
    case "invalid_union":
      if (issue.input === undefined) return "missing";
      return otherwise;
    default:
      return otherwise;
  }
}

/** Numbers and truth values that were meant as text are YAML's best known trap. */
function quoting({ expected, input }: { readonly expected: string; readonly input?: unknown }): string {
  return expected === "string" && (typeof input === "number" || typeof input === "boolean") ? "; put it in quotes" : "";
}

export function didYouMean(found: unknown, candidates: readonly string[]): string {
  const near = typeof found === "string" ? closest(found, candidates) : undefined;
  return near === undefined ? "" : `; did you mean \`${near}\`?`;
}

/** The issues of a failed parse as problems at their places in `document`, at whose `prefix` the parsed value stands. */
export function problemsOf(error: z.ZodError, document: YamlDocument, prefix: Path = []): Problem[] {
  const issues = error.issues.flatMap(ofTheFormMeant);
  const unknown = unknownSettings(issues);
  return issues.flatMap((issue): Problem[] => {
    const path = [...prefix, ...issue.path];
    if (issue.code === "unrecognized_keys") {
      return unknown
        .filter(({ at }) => at === issue.path.join("\0"))
        .map(({ key, near, known }) => ({
          range: document.keyRangeOf([...path, key]),
          message: `unknown setting \`${key}\`; ${near === undefined ? `there are ${known}` : `did you mean \`${near}\`?`}`,
        }));
    }
    if (issue.code === "invalid_key") {
      return [{ range: document.keyRangeOf(path), message: issue.issues[0]?.message ?? issue.message }];
    }
    if (issue.message === "missing") {
      const parent = issue.path.slice(0, -1).join("\0");
      if (unknown.some(({ at, near }) => at === parent && near === issue.path.at(-1))) return [];
      const range = document.keyRangeOf(path.slice(0, -1));
      return [{ range, message: `the setting \`${String(path.at(-1))}\` is missing` }];
    }
    // What such a map lacks is most likely what the unknown setting was meant to be.
    if (issue.code === "custom" && unknown.some(({ at }) => at === issue.path.join("\0"))) return [];
    return [{ range: document.rangeOf(path), message: issue.message }];
  });
}

interface UnknownSetting {
  /** The path of the map that it is in. */
  readonly at: string;
  readonly key: string;
  readonly near: string | undefined;
  readonly known: string;
}

/** Where a setting has several forms: what is wrong with the one that it has, if it has any of them. */
function ofTheFormMeant(issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  if (issue.code !== "invalid_union") return [issue];
  const another = ({ code, path }: z.core.$ZodIssue): boolean =>
    path.length === 0 && (code === "invalid_type" || code === "invalid_value");
  const meant = issue.errors.find((form) => !form.some(another));
  return meant?.map((inside) => ({ ...inside, path: [...issue.path, ...inside.path] })) ?? [issue];
}

function unknownSettings(issues: readonly z.core.$ZodIssue[]): UnknownSetting[] {
  return issues.flatMap((issue) => {
    if (issue.code !== "unrecognized_keys") return [];
    const known = issue.message;
    return issue.keys.map((key) => ({
      at: issue.path.join("\0"),
      key,
      near: closest(key, known.split(", ")),
      known,
    }));
  });
}
