/**
 * `npm run package`: makes build/stillpoint, which needs nothing but libc, and a Debian package of it.
 *
 *   npm run package -- [--version VERSION] [--into FOLDER]
 */
import { statSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { buildDebian } from "./package/build-debian.ts";
import { project } from "./bundle/settings.ts";
import { buildExecutable, packageVersion } from "./package/build-executable.ts";
import { licencesOf } from "./package/third-party.ts";

const { values } = parseArgs({ options: { version: { type: "string" }, into: { type: "string" } } });
const into = resolve(values.into ?? join(project, "build"));
const version = values.version ?? packageVersion();
const executable = join(into, "stillpoint");

const inputs = await buildExecutable(executable, version);
const debian = buildDebian({ version, executable, licences: licencesOf(inputs), into });
for (const file of [executable, debian]) {
  console.log(`${file}  ${(statSync(file).size / 1024 / 1024).toFixed(0)} MiB`);
}
