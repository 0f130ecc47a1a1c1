import { expect, test } from "vitest";
import { createLogger } from "../../src/host/log.ts";
import { lookAfterMachines } from "../../src/daemon/look-after-machines.ts";
import { loadConfig } from "../../src/policy/load.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { qemuWithExport } from "../helpers/qemu-with-export.ts";
import { scriptedQmp } from "../helpers/scripted-qmp.ts";
import { tempDir } from "../helpers/temp-dir.ts";

test("each machine is looked at: what was left is removed and logged, and one that doesn't run is passed over", async () => {
  const qemu = await scriptedQmp();
  qemu.answer = qemuWithExport();
  const folder = await tempDir();
  const config = loadConfig(
    `version: 1
repository: { path: ${folder}/repository, key_file: ${folder}/key }
sources:
  gone: { vm: { qmp: ${folder}/none } }
  here: { vm: { qmp: ${qemu.path}, spool: ${folder} } }
policies:
  machines:
    sources: [gone, here]
    schedule: { rpo: 6h }
    keep: { last: 3 }
`,
    "stillpoint.yaml",
  );
  const lines: string[] = [];
  const log = createLogger({ level: "info", to: (line) => lines.push(line) });
  await lookAfterMachines(config, new ManualClock(), log, new AbortController().signal);
  const told = lines.map((line) => JSON.parse(line) as { source: string; level: string; message: string });
  expect(told.map(({ source, level }) => [source, level])).toEqual([
    ["gone", "info"],
    ["here", "warn"],
  ]);
  expect(told[1]?.message).toBe("left in the guest, and made good: exports");
  expect(qemu.commands.map(({ execute }) => execute)).toContain("block-export-del");
  await lookAfterMachines(config, new ManualClock(), log, new AbortController().signal);
  expect(lines).toHaveLength(3);
});
