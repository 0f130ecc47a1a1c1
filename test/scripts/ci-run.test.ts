import { beforeEach, expect, test } from "vitest";
import { sandbox, type Outcome, type Sandbox } from "../helpers/sandbox.ts";

let box: Sandbox;

beforeEach(() => {
  box = sandbox();
  box.copy(".ci/run");
  box.write("path/date", "#!/bin/sh\necho 12:00:00\n");
  box.write("path/timeout", '#!/bin/sh\nshift 2\n"$@"\n');
});

/** With a `bootstrap.sh` that runs `checks`, and an npm that runs `tests` for its `test`. */
function run(checks: string, tests: string): Outcome {
  box.write("scripts/bootstrap.sh", `case $1 in check) ${checks};; esac`);
  box.write("path/npm", `#!/bin/sh\ncase $1 in test) ${tests};; esac\n`);
  return box.run(["/bin/bash", ".ci/run"]);
}

test("the count of the tests is the last line", () => {
  const { status, stdout } = run("echo checked", "echo 12 passed, 0 failed");
  expect(status).toBe(0);
  expect(stdout).toMatch(/^stillpoint: checks, .*\nchecked\nstillpoint: tests, .*\n12 passed, 0 failed\n$/);
});

test("when the checks fail no test is begun", () => {
  const { status, stdout } = run("exit 3", "echo 12 passed, 0 failed");
  expect(status).toBe(3);
  expect(stdout).not.toContain("passed");
});

test("when a test fails so does the whole", () => {
  expect(run("exit 0", "exit 1")).toMatchObject({ status: 1, stderr: "" });
});

test("what takes too long has failed, and is named", () => {
  const { status, stderr } = run("exit 0", "exit 124");
  expect(status).toBe(124);
  expect(stderr).toBe("stillpoint: tests took longer than 55 minutes, and had to be ended\n");
});
