/** Reading the configuration: YAML text in, checked data out, or every problem at its place. */

import { posix } from "node:path";
import type { Config } from "./config.ts";
import { issueMessage, problemsOf } from "./describe-issue.ts";
import { readYaml } from "./document.ts";
import { locate, problemsError } from "./problems.ts";
import { referenceProblems, referenceWarnings } from "./references.ts";
import { resolveConfig } from "./resolve.ts";
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
  const warnings = referenceWarnings(document).map((problem) => locate(document.source, problem));
  return { ...resolveConfig(parsed.data, path), warnings, file: { path: posix.resolve(file), text } };
}

function withoutSlash(path: string): string {
  return path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path;
}
