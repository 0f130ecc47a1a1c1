import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { dirname, join } from "node:path";
import { pageFiles } from "../../src/daemon/page-assets.ts";
import { project } from "./settings.ts";

/** Puts the files that browsers are served into a folder, without types. Returns their paths by their names. */
export function writePageFiles(folder: string): Record<string, string> {
  const written = pageFiles.map((name): [string, string] => {
    const source = readFileSync(join(project, "src", name), "utf8");
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, name.endsWith(".ts") ? stripTypeScriptTypes(source) : source);
    return [name, path];
  });
  return Object.fromEntries(written);
}
