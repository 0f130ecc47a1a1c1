/** Virtual machines (docs/benchmarks.md): pauses, captures of disks, and how soon a guest runs again. Wants root. */
import { mkdirSync } from "node:fs";
import * as path from "node:path";
import type { Results } from "../results.ts";
import { measureBoots } from "./boots.ts";
import { measureCaptures } from "./captures.ts";
import { measurePauses } from "./pauses.ts";
import { measureVirtnbdbackup } from "./virtnbdbackup.ts";

export async function measureVm(work: string, results: Results, quick: boolean): Promise<void> {
  const rounds = quick ? 1 : 3;
  const of = (name: string): string => {
    const folder = path.join(work, name);
    mkdirSync(folder, { recursive: true });
    return folder;
  };
  console.log("VM: pauses");
  await measurePauses(of("pauses"), results, quick ? [256, 1024] : [256, 1024, 4096], rounds);
  console.log("VM: captures of a disk");
  await measureCaptures(of("captures"), results, { quick, rounds });
  console.log("VM: captures of a disk beside virtnbdbackup");
  await measureVirtnbdbackup(of("virtnbdbackup"), results, { quick, rounds });
  console.log("VM: boots");
  const sizes = [
    { memory: 256, disk: 1 },
    { memory: 256, disk: 10 },
    { memory: 1024, disk: 1 },
    ...(quick
      ? []
      : [
          { memory: 256, disk: 100 },
          { memory: 4096, disk: 1 },
        ]),
  ];
  await measureBoots(of("boots"), results, sizes, rounds);
}
