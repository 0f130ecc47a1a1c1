import * as fs from "node:fs/promises";
import { expect, test } from "vitest";
import { startSupervisor } from "../../../src/restore/boot/start-supervisor.ts";
import { tempDir } from "../../helpers/temp-dir.ts";

const started = { boot: "7d1e42aa", id: "", source: "web", pid: 1, qmp: "", serial: [], dir: "" };

interface Said {
  readonly base: string;
  readonly steps: readonly (readonly number[])[];
  readonly end: unknown;
}

/** What comes of a supervisor that prints this. */
async function afterWords(...lines: readonly object[]): Promise<Said> {
  const base = await tempDir();
  const steps: number[][] = [];
  const text = lines.map((line) => JSON.stringify(line)).join("\n");
  const starting = startSupervisor({
    base,
    keep: false,
    stay: false,
    started: new Date(0),
    command: () => ["printf", "%s\\n", text],
    onProgress: (...step) => void steps.push(step),
  });
  return { base, steps, end: await starting.catch((error: unknown) => error) };
}

test("what the supervisor says of its progress is handed on, until the machine is there", async () => {
  const progress = [1, 3].map((done) => ({ progress: { done, total: 4 } }));
  const { steps, end } = await afterWords(...progress, { ready: started });
  expect(steps).toEqual([
    [1, 4],
    [3, 4],
  ]);
  expect(end).toEqual(started);
});

test("one that ends in the middle of its work has failed, and nothing is left", async () => {
  const { base, end } = await afterWords({ progress: { done: 1, total: 4 } });
  expect(end).toMatchObject({ code: "boot_failed" });
  expect(await fs.readdir(base)).toEqual([]);
});
