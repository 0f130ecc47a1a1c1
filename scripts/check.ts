import { spawnSync } from "node:child_process";

/** Everything that can be said about the code without running it. All of it runs; what fails prints why. */
const steps: readonly (readonly [what: string, tool: string, ...args: string[]])[] = [
  ["format", "@biomejs/biome/bin/biome", "format", "."],
  ["lint", "oxlint/bin/oxlint"],
  ["types", "@typescript/native/bin/tsc", "-p", "."],
  ["types in the browser", "@typescript/native/bin/tsc", "-p", "src/daemon/page/browser"],
  ["layers", "dependency-cruiser/bin/dependency-cruiser.mjs", "src", "scripts", "bench", "test"],
  ["dead code", "knip/bin/knip.js"],
];

let failed = 0;
for (const [what, tool, ...args] of steps) {
  const started = performance.now();
  const result = spawnSync(process.execPath, [`node_modules/${tool}`, ...args], { encoding: "utf8" });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  if (result.status === 0) {
    console.log(`ok      ${what} (${seconds} s)`);
  } else {
    failed += 1;
    console.log(`failed  ${what} (${seconds} s)\n${result.stdout}${result.stderr}`);
  }
}
console.log(failed === 0 ? "The code passes every check." : `${failed} of ${steps.length} checks failed.`);
process.exitCode = failed === 0 ? 0 : 1;
