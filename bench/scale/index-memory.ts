/** What the index of 1 TiB of unique data takes in memory, loaded as every command loads it. */
import * as path from "node:path";
import { run } from "../measure.ts";
import type { Results } from "../results.ts";

export async function measureIndex(_: string, results: Results): Promise<void> {
  console.log("index of 1 TiB");
  const args = [
    "--expose-gc",
    "--disable-warning=ExperimentalWarning",
    path.join(import.meta.dirname, "../load-index.ts"),
  ];
  const measured = JSON.parse(await run({ program: process.execPath, args })) as Record<string, number>;
  const of = (figure: string): number => measured[figure] ?? Number.NaN;
  results.facts["index: memory for 1 TiB of unique data"] = of("index") / 2 ** 20;
  results.facts["index: memory for 1 TiB, with the names of all packs"] = of("everything") / 2 ** 20;
  results.facts["index: seconds to load it"] = of("seconds");
}
