import { spawn } from "node:child_process";
import { once } from "node:events";
import { symlinkSync } from "node:fs";
import { expect, test } from "vitest";
import { eventually } from "../helpers/running-daemon.ts";
import { sandbox } from "../helpers/sandbox.ts";

const files = {
  "package.json": `{ "type": "module" }`,
  "vitest.config.ts": `export default { test: { include: ["*.test.ts"], reporters: ["default", ["./scripts/running-tests.ts", { after: 100 }]] } };`,
  "a.test.ts": `import { test } from "vitest";
test("good", () => {});
test("hangs", { timeout: 600_000 }, async () => { await new Promise(() => {}); });`,
  "b.test.ts": `import { beforeAll, test } from "vitest";
beforeAll(async () => { await new Promise(() => {}); }, 600_000);
test("never begun", () => {});`,
  // So many that Vitest tells of some of them only after it has told of the file's end.
  "c.test.ts": `import { test } from "vitest";
for (let index = 0; index < 2_000; index += 1) test("done " + index, () => {});`,
};

const over = /✓ c\.test\.ts/;
const hanging = [
  /still running after \d+ s: a\.test\.ts > hangs$/m,
  /still running after \d+ s: b\.test\.ts > outside of its tests$/m,
];

test("names the tests that hang, and once more when the run is told to end", async () => {
  const box = sandbox();
  symlinkSync(`${import.meta.dirname}/../../node_modules`, `${box.root}/node_modules`);
  box.copy("scripts/running-tests.ts");
  for (const [name, text] of Object.entries(files)) box.write(name, text);
  const arguments_ = ["node_modules/vitest/vitest.mjs", "run", "--disable-console-intercept", "--max-workers=3"];
  const env = { ...process.env, NO_COLOR: "1" };
  const run = spawn(process.execPath, arguments_, { cwd: box.root, env, stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(run, "close");
  let output = "";
  run.stdout.setEncoding("utf8").on("data", (piece: string) => (output += piece));
  await eventually(() => ([over, ...hanging].every((line) => line.test(output)) ? true : undefined));
  output = "";
  run.kill();
  expect(await ended).toEqual([143, null]);
  for (const line of hanging) expect(output).toMatch(line);
  expect(output).toContain("told to end; ");
  expect(output).not.toContain("c.test.ts");
});
