import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { qemuWithExport } from "../helpers/qemu-with-export.ts";
import { scriptedQmp } from "../helpers/scripted-qmp.ts";
import { stillpoint, temporaryFolder } from "./harness.ts";

/** A configuration with a machine, and a directory. */
function configOf(qmp: string): string {
  const folder = temporaryFolder();
  const config = join(folder, "stillpoint.yaml");
  writeFileSync(
    config,
    `version: 1
repository: { path: ${folder}/repository, key_file: ${folder}/key }
sources:
  database: { vm: { qmp: ${qmp}, spool: ${folder}/spool } }
  etc: { directory: { path: /etc } }
policies:
  all: { sources: [database, etc], schedule: { rpo: 6h }, keep: { last: 3 } }
`,
  );
  return config;
}

describe("rescue", () => {
  test("looks for write-protected memory, removes what a capture has left, and says both", async () => {
    const qemu = await scriptedQmp();
    const args = ["rescue", "database", "--config", configOf(qemu.path)];
    qemu.answer = qemuWithExport();
    expect(await stillpoint(args)).toEqual({
      status: 0,
      stdout: "No memory of the guest was write-protected.\nLeft by a capture, and made good: exports.\n",
      stderr: "",
    });
    const { status, stdout } = await stillpoint([...args, "--json"]);
    expect({ status, stdout: JSON.parse(stdout) as unknown }).toEqual({
      status: 0,
      stdout: { source: "database", pid: process.pid, protected: 0, mended: [], problems: [] },
    });
  });

  test("a source that is none, or no machine, is refused", async () => {
    const config = configOf("/nowhere");
    const { status, stderr } = await stillpoint(["rescue", "etc", "--config", config]);
    expect(status).toBe(1);
    expect(stderr).toContain('There is no virtual machine "etc" in the configuration');
    expect(stderr).toContain("It has database.");
  });

  test("a machine that doesn't run: that is said", async () => {
    const { status, stderr } = await stillpoint(["rescue", "database", "--config", configOf("/nowhere/qmp")]);
    expect(status).toBe(1);
    expect(stderr).toContain("no such file");
  });
});
