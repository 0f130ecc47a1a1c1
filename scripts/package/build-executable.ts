/**
 * One file that needs nothing but libc: Node, with Stillpoint within it, as a single executable application
 * (https://nodejs.org/api/single-executable-applications.html).
 */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build, type BuildOptions, type Plugin } from "esbuild";
import { writePageFiles } from "../bundle/page-files.ts";
import { project, settings } from "../bundle/settings.ts";

/**
 * Makes the executable at `output`, with this process's own Node. `version` is what it will say it is. Returns the sources that are
 * in it, by their paths in the project.
 */
export async function buildExecutable(output: string, version: string): Promise<string[]> {
  const parts = `${output}.parts`;
  rmSync(parts, { recursive: true, force: true });
  mkdirSync(parts, { recursive: true });
  const main = join(parts, "main.mjs");
  const worker = join(parts, "worker.cjs");
  const common = { ...executableSettings, plugins: [...settings.plugins, versionOf(version)] };
  // What is imported lazily stays lazy: esbuild makes it a function, which V8 reads when it is called.
  const entry = "scripts/package/executable-main.ts";
  const { metafile } = await build({ ...common, entryPoints: [entry], format: "esm", outfile: main });
  await build({ ...common, entryPoints: ["src/job/worker.ts"], format: "cjs", banner: {}, outfile: worker });
  writeFileSync(
    join(parts, "executable.json"),
    JSON.stringify({
      main,
      mainFormat: "module",
      output,
      disableExperimentalSEAWarning: true,
      // As bin/stillpoint has them.
      execArgv: ["--disable-warning=ExperimentalWarning", "--heap-growing-percent=20", "--max-semi-space-size=4"],
      assets: { worker, ...writePageFiles(parts) },
    }),
  );
  run(process.execPath, ["--build-sea", join(parts, "executable.json")]);
  chmodSync(output, 0o755);
  rmSync(parts, { recursive: true });
  return Object.keys(metafile.inputs);
}

const executableSettings = {
  ...settings,
  target: `node${process.versions.node}`,
  // Names stay, so that a stack trace of a defect says something.
  minifyWhitespace: true,
  minifySyntax: true,
  // Their licences go beside the executable: third-party.ts.
  legalComments: "none",
  metafile: true,
} as const satisfies BuildOptions;

/** There is no package.json to read it from. */
function versionOf(version: string): Plugin {
  const contents = `export const version = ${JSON.stringify(version)};`;
  return {
    name: "version",
    setup: (bundle) => bundle.onLoad({ filter: /\/src\/cli\/version\.ts$/ }, () => ({ contents })),
  };
}

/** Runs a program in the project's folder, and gives its output. Throws what it says when it fails. */
export function run(program: string, args: readonly string[], environment: NodeJS.ProcessEnv = {}): string {
  const env = { ...process.env, ...environment };
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd: project, encoding: "utf8", env });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${program} ended with ${String(status)}: ${stdout}${stderr}`);
  return stdout;
}

export function packageVersion(): string {
  return (JSON.parse(readFileSync(join(project, "package.json"), "utf8")) as { readonly version: string }).version;
}
