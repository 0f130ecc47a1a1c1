import { expect, test } from "vitest";
import { stillpoint, temporaryFolder } from "./harness.ts";

test("without a booted machine the list says so, and is empty for programs", async () => {
  const place = ["--state", temporaryFolder()];
  expect(await stillpoint(["boot", "list", ...place])).toEqual({
    status: 0,
    stdout: "No machine is booted.\n",
    stderr: "",
  });
  expect((await stillpoint(["boot", "list", "--json", ...place])).stdout).toBe("[]\n");
});
