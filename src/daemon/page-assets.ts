/** The files of the page: its scripts, its style and its icons. Nothing else of the disk can be had. */
import { stripTypeScriptTypes } from "node:module";
import { readProgramFile } from "../host/program-file.ts";
import type { Answer, Routes } from "./http-server.ts";
import { iconOf } from "./page/document.ts";

/** Every module that the browser loads: what runs there is the program's own code, as it is here. */
const modules = [
  "daemon/page/browser/main",
  "daemon/page/browser/morph",
  "daemon/page/view",
  "daemon/page/sources",
  "daemon/page/locations",
  "daemon/page/plans",
  "daemon/page/problems",
  "daemon/page/charts",
  "daemon/page/scale",
  "daemon/page/words",
  "daemon/page/html",
  "cli/format",
  "policy/units",
];
const style = "daemon/page/page.css";

/** What a build must have, by the paths in src/, and without types. */
export const pageFiles: readonly string[] = [...modules.map((name) => `${name}.ts`), style];

/** A checkout has sources, whose types are taken away as they are served; a build has them without (scripts/bundle/). */
const inCheckout = import.meta.url.endsWith(".ts");
const root = new URL("..", import.meta.url);

/** The path of the script that the page begins with. */
export const pageScript = "/page/daemon/page/browser/main.ts";

export const pageAssets: Routes = {
  ...Object.fromEntries(
    modules.map((name) => [`/page/${name}.ts`, async () => script(await readProgramFile(root, `${name}.ts`))]),
  ),
  "/page/page.css": async () => answer("text/css", await readProgramFile(root, style)),
  ...Object.fromEntries(
    (["good", "warn", "bad"] as const).map((level) => [
      `/page/${level}.svg`,
      () => answer("image/svg+xml", iconOf(level)),
    ]),
  ),
};

function script(source: string): Answer {
  return answer("text/javascript", inCheckout ? stripTypeScriptTypes(source) : source);
}

function answer(contentType: string, body: string): Answer {
  return { status: 200, contentType: `${contentType}; charset=utf-8`, body };
}
