/**
 * npm run bench [-- NAME...] [--quick] [--rounds N]
 *
 * Measures Stillpoint beside its peers, on this machine, in this run; prints the ratios and whether each bound is met, and writes all
 * figures as JSON. docs/benchmarks.md says what each figure means.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { parseArgs } from "node:util";
import { makeData, workFolder } from "./data.ts";
import { Results } from "./results.ts";
import { describeMachine, printBounds, printFacts, printTable } from "./report.ts";
import { measureDaemon } from "./scale/daemon.ts";
import { measureHistory } from "./scale/history.ts";
import { measureLoad } from "./scale/load.ts";
import { measureIndex } from "./scale/index-memory.ts";
import { measurePoints } from "./scale/points.ts";
import { type Bench, measureImage, measureTree, presentPeers } from "./side-by-side.ts";
import { measureOffsite } from "./offsite/measure-offsite.ts";
import { measureVm } from "./vm/measure-vm.ts";

const sideBySide: Readonly<Record<string, (bench: Bench) => Promise<void>>> = {
  image: measureImage,
  tree: measureTree,
};
const alone: Readonly<Record<string, (work: string, results: Results, quick: boolean) => Promise<void>>> = {
  daemon: measureDaemon,
  points: measurePoints,
  index: measureIndex,
  history: measureHistory,
  load: measureLoad,
  offsite: measureOffsite,
  vm: measureVm,
};
const allNames = [...Object.keys(sideBySide), ...Object.keys(alone)];

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: "boolean", default: false }, rounds: { type: "string" } },
});
const unknown = positionals.filter((name) => !allNames.includes(name));
if (unknown.length > 0) {
  console.error(`There is no ${unknown.join(", ")}. The benchmarks are ${allNames.join(", ")}.`);
  process.exit(2);
}
const chosen = (name: string): boolean => positionals.length === 0 || positionals.includes(name);
const rounds = Number(options.rounds ?? (options.quick ? 1 : 3));

const work = workFolder();
const results = new Results();
const started = new Date();
const machine = describeMachine();
console.log(machine);
const present = await presentPeers();
for (const { version } of present) console.log(version);

try {
  for (const [name, measureAlone] of Object.entries(alone)) {
    if (!chosen(name)) continue;
    const folder = path.join(work, name);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    await measureAlone(folder, results, options.quick);
    rmSync(folder, { recursive: true, force: true });
  }
  const sides = Object.keys(sideBySide).filter(chosen);
  if (sides.length > 0) {
    const data = await makeData(work, options.quick);
    const peers = present.map(({ peer }) => peer);
    for (let round = 1; round <= rounds; round++) {
      for (const name of sides) await sideBySide[name]?.({ work, data, results, peers, round });
    }
    rmSync(data.image.path);
  }
} finally {
  rmSync(path.join(work, "restored"), { recursive: true, force: true });
  // What was measured is worth seeing even when something failed.
  printTable(
    results,
    present.map(({ peer }) => peer.name),
  );
  printFacts(results);
  const missed = printBounds(results);
  const file = path.join(work, "results", `${started.toISOString().replaceAll(":", "")}.json`);
  mkdirSync(path.dirname(file), { recursive: true });
  const versions = Object.fromEntries(present.map(({ peer, version }) => [peer.name, version]));
  const record = {
    started,
    machine,
    versions,
    quick: options.quick,
    rounds,
    samples: results.samples,
    facts: results.facts,
  };
  writeFileSync(file, `${JSON.stringify(record, undefined, 2)}\n`);
  console.log(`\n${missed === 0 ? "No bound is missed." : `${String(missed)} missed.`} All figures: ${file}`);
  if (options.quick)
    console.log("With --quick there is less data and one round: good for a first look, not for a judgement.");
}
