/** `stillpoint retention simulate`: keep rules tried on a list of points, neither of them from a repository. */

import * as z from "zod";
import { StillpointError } from "../errors.ts";
import { issueMessage, problemsOf } from "./describe-issue.ts";
import { readYaml } from "./document.ts";
import { keepRules } from "./fields.ts";
import { problemsError } from "./problems.ts";
import type { KeepRules, Point } from "./retention.ts";

/** RFC 3339, as JavaScript, Go and restic write it. A time without a zone is nobody's time. */
const timePattern = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?(?:[Zz]|[+-]\d{2}:\d{2})$/;
const timeHelp = "expected a time with its zone, such as 2026-07-01T12:00:00Z";

const time = z
  .string({ error: (issue) => (issue.input === undefined ? undefined : timeHelp) })
  .transform((text, context) => {
    const value = parseTime(text);
    if (value !== undefined) return value;
    context.addIssue({ code: "custom", message: timeHelp });
    return z.NEVER;
  });

const points = z.array(
  z.object({
    id: z.string().min(1, { error: "an id can't be empty" }),
    time,
    tags: z.array(z.string()).nullish(),
  }),
);

/** An RFC 3339 time in ms since the epoch, with what it has of microseconds as a fraction; undefined when it isn't one. */
export function parseTime(text: string): number | undefined {
  const match = timePattern.exec(text);
  if (match === null) return undefined;
  const fraction = match[1] ?? "";
  const whole = Date.parse(text.replace(fraction, "").replace(" ", "T").toUpperCase());
  return Number.isNaN(whole) ? undefined : whole + Number(`0${fraction}`) * 1000;
}

/** Points from JSON, `[{id, time, tags}]`, whatever else they have. Throws StillpointError `config_invalid`. */
export function parsePoints(text: string, file: string): Point[] {
  const fail = (what: string): never => {
    throw new StillpointError("config_invalid", { what: `Cannot use ${file}: ${what}` });
  };
  const parsed = points.safeParse(parseJson(text, fail), { error: issueMessage });
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const [number, ...field] = issue?.path ?? [];
    const where = number === undefined ? "" : `point ${Number(number) + 1}, `;
    const setting = field.length === 0 ? "" : `\`${field.join(".")}\`: `;
    return fail(`${where}${setting}${issue?.message ?? ""}`);
  }
  const seen = new Set<string>();
  for (const { id } of parsed.data) {
    if (seen.has(id)) fail(`two points have the id ${JSON.stringify(id)}`);
    seen.add(id);
  }
  return parsed.data.map((point) => ({ id: point.id, time: point.time, tags: point.tags ?? [] }));
}

function parseJson(text: string, fail: (what: string) => never): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    return fail(`it isn't JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Keep rules from YAML, as a policy has them: the rules alone, or under `keep:`. Throws `config_invalid`. */
export function parseKeepRules(text: string, file: string): KeepRules {
  const document = readYaml(text, file);
  const { value } = document;
  const wrapped =
    typeof value === "object" && value !== null && Object.keys(value).join() === "keep" && "keep" in value;
  const parsed = keepRules.safeParse(wrapped ? value.keep : value, { error: issueMessage });
  if (parsed.success) return parsed.data;
  throw problemsError(document.source, problemsOf(parsed.error, document, wrapped ? ["keep"] : []));
}
