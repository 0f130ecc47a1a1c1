/**
 * What of a directory is not captured. Patterns are those of gitignore(5), relative to the source's folder, without
 * negation and escapes:
 *
 * - Without a slash before its end, a pattern is about a name at any depth: `*.tmp`, `lost+found`.
 * - With one, it is about a path from the source's folder on: `/cache`, `var/cache`, `home/?/tmp`.
 * - With a slash at its end, it is about folders only: `node_modules/`.
 * - `*` and `?` stand for any bytes and any one character but a slash, `[a-z]` and `[!a-z]` for one of these; `**` as a
 *   whole step of the path stands for any number of steps.
 *
 * An excluded folder isn't looked into. Names that aren't UTF-8 are compared with U+FFFD for each byte that is wrong.
 */

/** Whether something is left out; `path` is relative to the source's folder, without a slash at either end. */
export type Filter = (path: string, isFolder: boolean) => boolean;

export function compileExcludes(patterns: readonly string[]): Filter {
  const rules = patterns.filter((pattern) => pattern !== "").map(compile);
  return (path, isFolder) => rules.some((rule) => (isFolder || !rule.foldersOnly) && rule.expression.test(path));
}

interface Rule {
  readonly foldersOnly: boolean;
  readonly expression: RegExp;
}

function compile(pattern: string): Rule {
  const foldersOnly = pattern.endsWith("/");
  const steps = pattern.replace(/\/+$/, "").replace(/^\/+/, "").split("/");
  const anchored = pattern.replace(/\/+$/, "").includes("/");
  const start = anchored ? "^" : "^(?:.*/)?";
  return { foldersOnly, expression: new RegExp(`${start}${steps.map(compileStep).join("")}$`, "su") };
}

/** A step with the slash that belongs to it: before it, but for the first one. */
function compileStep(step: string, position: number, steps: readonly string[]): string {
  const slash = position === 0 || steps[position - 1] === "**" ? "" : "/";
  if (step !== "**")
    return slash + Array.from(step.matchAll(/\[!?\]?[^\]]*\]|./gsu), ([token]) => compileToken(token)).join("");
  if (position === steps.length - 1) return `${slash}.+`;
  return `${slash}(?:.*/)?`;
}

function compileToken(token: string): string {
  if (token === "*") return "[^/]*";
  if (token === "?") return "[^/]";
  if (token.length < 3 || !token.startsWith("[")) return token.replace(/[\\^$.*+?()[\]{}|/]/u, "\\$&");
  const negated = token.startsWith("[!");
  const members = token
    .slice(negated ? 2 : 1, -1)
    .replaceAll(/[\\^[\]]|--|&&/gu, (text) => text.replaceAll(/./gu, "\\$&"));
  return `${negated ? "(?!/)[^" : "(?!/)["}${members}]`;
}
