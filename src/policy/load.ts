/** Reading the configuration: YAML text in, checked data out, or every problem at its place. */

import { posix } from "node:path";
import type { Config } from "./config.ts";
import { issueMessage, problemsOf } from "./describe-issue.ts";
import { peekYaml, readYaml } from "./document.ts";
import { lateChecks } from "./late-checks.ts";
import { locate, problemsError } from "./problems.ts";
import { referenceProblems, referenceWarnings } from "./references.ts";
import { resolveConfig, resolveState } from "./resolve.ts";
import { configFile } from "./schema.ts";

/**
 * The configuration in `text`. `file` is its path, for messages; absolute, or relative to the working folder. Relative paths
 * begin at `home`, by default the folder of the file. Throws StillpointError `config_invalid`, whose message lists every problem as
 * `file:line:column: message`, with the line and a caret under it; nothing else is ever thrown.
 */
export function loadConfig(text: string, file: string, home = posix.dirname(file)): Config {
  const document = readYaml(text, file);
  const path = (written: string): string => withoutSlash(posix.resolve(home, written));
  const parsed = configFile.safeParse(document.value, { error: issueMessage });
  const problems = [
    ...referenceProblems(document, path),
    ...(parsed.success ? [] : problemsOf(parsed.error, document)),
  ];
  if (!parsed.success || problems.length > 0) throw problemsError(document.source, problems);
  const doubtful = [...referenceWarnings(document), ...lateChecks(parsed.data, document)];
  const warnings = doubtful.map((problem) => locate(document.source, problem));
  return { ...resolveConfig(parsed.data, path), warnings, file: { path: posix.resolve(file), text } };
}

/**
 * The state folder that `text` names, as far as can be seen in a file that `loadConfig` refuses: for asking the daemon that goes
 * on with an earlier one.
 */
export function findState(text: string, file: string): string | undefined {
  const path = (written: string): string => withoutSlash(posix.resolve(posix.dirname(file), written));
  const [folder, state] = ["path", "state"].map((name) => peekYaml(text, ["repository", name]));
  if (typeof state === "string") return path(state);
  return typeof folder === "string" ? resolveState({ path: folder }, path) : undefined;
}

function withoutSlash(path: string): string {
  return path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path;
}
