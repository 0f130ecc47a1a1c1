import { spawnSync } from "node:child_process";
import { symlinkSync } from "node:fs";
import { expect, test } from "vitest";
import { sandbox } from "../helpers/sandbox.ts";

const config = `export default { test: { include: ["*.test.ts"], reporters: ["default", "./scripts/closing-line.ts"] } };`;
const imports = `import { beforeAll, describe, expect, test } from "vitest";\n`;

/** Runs vitest on some test files; its exit status and the last line of its output. */
function lastLineOf(
  files: Readonly<Record<string, string>>,
): readonly [status: number | null, line: string | undefined] {
  const box = sandbox();
  symlinkSync(`${import.meta.dirname}/../../node_modules`, `${box.root}/node_modules`);
  box.copy("scripts/closing-line.ts");
  box.write("package.json", `{ "type": "module" }`);
  box.write("vitest.config.ts", config);
  for (const [name, text] of Object.entries(files)) box.write(name, imports + text);
  const { status, stdout } = spawnSync(process.execPath, ["node_modules/vitest/vitest.mjs", "run"], {
    cwd: box.root,
    encoding: "utf8",
  });
  return [status, stdout.split("\n").at(-2)];
}

test("a run in which all is well", () => {
  expect(lastLineOf({ "a.test.ts": `test("one", () => {}); test("two", () => {});` })).toEqual([
    0,
    "2 passed, 0 failed",
  ]);
});

test("failed and skipped tests", () => {
  const files = {
    "a.test.ts": `test("good", () => {}); test.skip("left out", () => {}); test.todo("to come");`,
    "b.test.ts": `test("bad", () => { expect(1).toBe(2); });`,
  };
  expect(lastLineOf(files)).toEqual([1, "1 passed, 1 failed, 2 skipped"]);
});

test.each([
  ["a file that can't be loaded", `import "./nowhere.ts";`],
  [
    "a hook that fails",
    `describe("group", () => { beforeAll(() => { throw new Error("no"); }); test("x", () => {}); });`,
  ],
  ["an error outside of any test", `test("x", async () => { void Promise.reject(new Error("no")); });`],
])("%s is never counted as 0 failed", (_, text) => {
  const [status, line] = lastLineOf({ "a.test.ts": text });
  expect(status).toBe(1);
  expect(line).toMatch(/^\d+ passed, 1 failed(, 1 skipped)?$/);
});
