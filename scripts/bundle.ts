/**
 * Makes what bin/stillpoint runs from src/ and the packages: `node scripts/bundle.ts FOLDER` (scripts/build.sh). What is
 * loaded together is in one file, so that few are looked for, and what is imported lazily stays lazy.
 */
import { build } from "esbuild";
import { writePageFiles } from "./bundle/page-files.ts";
import { settings } from "./bundle/settings.ts";

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error("Name the folder.");

await build({
  ...settings,
  // The command line, and what runs in a thread or a process of its own.
  entryPoints: ["src/cli/main.ts", "src/job/worker.ts", "src/daemon/work-main.ts", "src/capture/vm/watchdog-main.ts"],
  format: "esm",
  target: "node24",
  splitting: true,
  outdir: folder,
  // All in one folder: whoever starts another module finds it beside its own (src/host/module-beside.ts).
  entryNames: "modules/[name]",
  chunkNames: "modules/[name]-[hash]",
  logLevel: "warning",
});
writePageFiles(folder);
