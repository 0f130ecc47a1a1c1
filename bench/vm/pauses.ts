/** How long a guest stands still: captured by Stillpoint, by QEMU's `savevm`, and by a migration to a file while it is stopped. */
import { rmSync } from "node:fs";
import * as path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Qmp } from "../../src/qemu/qmp.ts";
import type { CounterGuest } from "../../test/helpers/guest/counter-guest.ts";
import type { Results } from "../results.ts";
import { type Stall, startBenchGuest, stallOf } from "./guest.ts";
import { median, Site } from "./site.ts";

/** @param sizes in MiB */
export async function measurePauses(
  work: string,
  results: Results,
  sizes: readonly number[],
  rounds: number,
): Promise<void> {
  for (const memory of sizes) {
    const folder = path.join(work, "guest");
    const guest = await startBenchGuest({ folder, memory, disks: [{ format: "qcow2" }], rate: 500, clock: true });
    try {
      await measureGuest(work, results, guest, memory, rounds);
    } finally {
      await guest.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  }
}

async function measureGuest(
  work: string,
  results: Results,
  guest: CounterGuest,
  memory: number,
  rounds: number,
): Promise<void> {
  const site = await Site.make(path.join(work, "site"), { vm: { qmp: guest.qmp, max_pause: "60s" } });
  const ways: Readonly<Record<string, (qmp: Qmp) => Promise<void>>> = {
    Stillpoint: async () => void (await site.capture()),
    savevm: async (qmp) => await expectSilence(qmp.hmp("savevm one")),
    "migrate, stopped": async (qmp) => await saveStopped(qmp, path.join(work, "saved")),
    "nothing at all": async () => await sleep(2000),
  };
  // A guest's first capture is a rehearsal for the later ones.
  await site.capture();
  const stalls: Record<string, Stall[]> = {};
  const told: number[] = [];
  // One way after the other: what QEMU remembers of a save by somebody else would be of no use for ours.
  for (const [name, way] of Object.entries(ways)) {
    for (let round = 0; round < rounds; round++) {
      const stall = await stallOf(guest, way);
      (stalls[name] ??= []).push(stall);
      const { pause, method } = await site.machine();
      if (name === "Stillpoint") told.push(pause);
      const how = name === "Stillpoint" ? `, by the manifest ${pause.toFixed(1)} ms, ${method}` : "";
      console.log(
        `  ${label(memory)}  ${name}  pause ${stall.pause?.toFixed(1) ?? "-"} ms, seen ${stall.seen.toFixed(1)} ms${how}`,
      );
    }
  }
  for (const [name, each] of Object.entries(stalls)) {
    const pauses = each.flatMap(({ pause }) => pause ?? []);
    if (pauses.length > 0) results.facts[`${label(memory)}: pause, ${name}, ms`] = median(pauses);
    results.facts[`${label(memory)}: longest stall seen, ${name}, ms`] = median(each.map(({ seen }) => seen));
  }
  results.facts[`${label(memory)}: pause, by the manifest, ms`] = median(told);
}

export function label(memory: number): string {
  return memory < 1024 ? `${String(memory)} MiB of RAM` : `${String(memory / 1024)} GiB of RAM`;
}

async function expectSilence(answer: Promise<string>): Promise<void> {
  const text = await answer;
  if (text.trim() !== "") throw new Error(text);
}

async function saveStopped(qmp: Qmp, file: string): Promise<void> {
  await qmp.execute("migrate-set-parameters", { "max-bandwidth": 2 ** 45 });
  await qmp.execute("stop");
  await qmp.execute("migrate", { uri: `exec:cat >${file}` });
  for (;;) {
    const { status } = await qmp.execute<{ readonly status: string }>("query-migrate");
    if (status === "completed") break;
    if (status === "failed") throw new Error("QEMU could not save the guest");
    await sleep(2);
  }
  await qmp.execute("cont");
  rmSync(file);
}
