/** 500 sources in 100 policies, all due at the same minute: whether each is captured, how long scrapes take, and the memory. */
import { mkdirSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { memoryOf, run, treeOf } from "../measure.ts";
import { configOf } from "../peers/stillpoint.ts";
import type { Results } from "../results.ts";
import { metricsUrl, startDaemon } from "./daemon.ts";
import { verb } from "./repository.ts";

const sourcesOfEach = 5;
const concurrency = 4;
/** Long enough for the daemon to have settled. */
const untilDueMs = 60_000;
/** Prometheus does it each minute by default, many each 15 s. */
const scrapeEveryMs = 5000;
const mostMs = 30 * 60_000;

export async function measureLoad(folder: string, results: Results, quick: boolean): Promise<void> {
  const policies = quick ? 10 : 100;
  const sources = policies * sourcesOfEach;
  console.log(`${String(sources)} sources in ${String(policies)} policies, due at one minute`);
  const due = new Date(Math.ceil((Date.now() + untilDueMs) / 60_000) * 60_000);
  await initialise(folder, policies, due);
  const captures = new Captures();
  const daemon = await startDaemon(folder, (line) => captures.hear(line));
  const { facts } = results;
  try {
    facts["load: scrape when idle, slowest of ten, ms"] = Math.max(...(await scrapes(10)));
    facts["load: memory of the daemon when idle"] = memoryOf(daemon.pid, "VmRSS") / 2 ** 20;
    const times: number[] = [];
    let work = 0;
    while (captures.jobs < policies) {
      if (Date.now() - due.getTime() > mostMs) throw new Error(`only ${String(captures.jobs)} jobs have ended`);
      times.push(...(await scrapes(1)));
      for (const pid of treeOf(daemon.pid).slice(1)) work = Math.max(work, memoryOf(pid, "VmHWM"));
      await sleep(scrapeEveryMs);
    }
    facts["load: scrape while they run, slowest, ms"] = Math.max(...times);
    facts["load: scrape while they run, median, ms"] = times.toSorted((a, b) => a - b)[times.length >> 1] ?? Number.NaN;
    facts["load: captures that were left out or done twice"] = Math.abs(sources - captures.finished);
    facts["load: latest start after the minute, s"] = await latestStart();
    facts["load: all done after, s"] = (Date.now() - due.getTime()) / 1000;
    facts["load: memory of the daemon after them"] = memoryOf(daemon.pid, "VmRSS") / 2 ** 20;
    facts["load: peak memory of the daemon"] = memoryOf(daemon.pid, "VmHWM") / 2 ** 20;
    facts["load: peak memory of the work process"] = work / 2 ** 20;
  } finally {
    await daemon.stop();
  }
}

/** Small real folders, and policies that are due once a day, first at `due`. */
async function initialise(folder: string, policies: number, due: Date): Promise<void> {
  const names = Array.from({ length: policies }, (_, number) => `policy-${String(number)}`);
  const sourcesOf = (policy: string): string[] =>
    Array.from({ length: sourcesOfEach }, (_, number) => `${policy}-source-${String(number)}`);
  const sources = names.flatMap(sourcesOf);
  for (const source of sources) {
    mkdirSync(path.join(folder, "data", source), { recursive: true });
    for (const file of ["a", "b", "c"])
      writeFileSync(path.join(folder, "data", source, file), `${file} of ${source}\n`);
  }
  const cron = `${String(due.getUTCMinutes())} ${String(due.getUTCHours())} * * *`;
  const policyOf = (name: string): object => ({
    sources: sourcesOf(name),
    schedule: { cron, missed: "skip" },
    objectives: { rpo: "25h" },
    keep: { last: 10, daily: 7 },
  });
  const configuration = {
    version: 1,
    repository: { path: path.join(folder, "repository"), key_file: path.join(folder, "key") },
    sources: Object.fromEntries(
      sources.map((source) => [source, { directory: { path: path.join(folder, "data", source) } }]),
    ),
    policies: Object.fromEntries(names.map((name) => [name, policyOf(name)])),
    daemon: { listen: "127.0.0.1:9469", concurrency },
  };
  writeFileSync(configOf(folder), JSON.stringify(configuration));
  await run(verb(folder, "init"));
}

/** What the daemon's log says of captures. */
class Captures {
  finished = 0;
  jobs = 0;

  hear(line: string): void {
    if (line.includes('"message":"capture finished"')) this.finished += 1;
    if (line.includes('"message":"job finished"')) this.jobs += 1;
  }
}

/** How long each of `count` took, in ms. */
async function scrapes(count: number): Promise<number[]> {
  const times: number[] = [];
  for (let number = 0; number < count; number++) {
    const started = performance.now();
    await (await fetch(metricsUrl)).text();
    times.push(performance.now() - started);
  }
  return times;
}

async function latestStart(): Promise<number> {
  const text = await (await fetch(metricsUrl)).text();
  return Math.max(
    ...Array.from(text.matchAll(/^stillpoint_schedule_lag_seconds\{.*\} (.*)$/gm), ([, lag]) => Number(lag)),
  );
}
