import { createRequire } from "node:module";
import { exitStatus } from "../errors.ts";

/** The same place from src/cli and from dist/cli. */
const { version } = createRequire(import.meta.url)("../../package.json") as { readonly version: string };

if (process.argv[2] === "--version") {
  process.stdout.write(`${version}\n`);
} else {
  process.stderr.write("stillpoint: only --version is there yet\n");
  process.exitCode = exitStatus.usage;
}
