import * as fs from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { openLocation } from "../../src/job/locations.ts";
import { checkRepository } from "../../src/repository/check/check.ts";
import { inlineExecutor } from "../../src/repository/threads/executor.ts";
import { RunningDaemon } from "../helpers/running-daemon.ts";
import { makeSite, type Site } from "../helpers/site.ts";

const rest = `
replicas: { far: { path: replicas/far } }
sources: { docs: { directory: { path: docs } } }
policies:
  often:
    sources: [docs]
    schedule: { cron: "* * * * * *" }
    keep: { last: 2 }
    replicate: { far: {} }
daemon: { listen: "127.0.0.1:0" }
`;
const rounds = 10;

async function writeSource({ at }: Site, round: number): Promise<void> {
  for (const number of [1, 2, 3]) {
    await fs.writeFile(at("docs", `file-${String(number)}`), `${String(round)} ${"text ".repeat(number * 100_000)}`);
  }
}

async function contentOf(folder: string): Promise<Map<string, string>> {
  const content = new Map<string, string>();
  for (const name of await fs.readdir(folder)) content.set(name, await fs.readFile(`${folder}/${name}`, "utf8"));
  return content;
}

async function exists(path: string): Promise<boolean> {
  return await fs.stat(path).then(
    () => true,
    () => false,
  );
}

/** What a check of every byte finds at a location; nothing at a replica that isn't made yet. */
async function damageAt(site: Site, location: string): Promise<readonly unknown[]> {
  const folder = location === "far" ? site.at("replicas", "far") : site.at("repository");
  if (!(await exists(`${folder}/format`))) return [];
  const { repository } = await openLocation(site.config, location);
  const readData = { group: 1, of: 1 };
  const replica = location === "far";
  return (await checkRepository(repository, { executor: inlineExecutor, readData, replica })).findings;
}

describe("a daemon that is killed at any moment", () => {
  it("leaves every committed point whole and the source as it was, and the next one goes on", async () => {
    const site = await makeSite({ rest });
    for (let round = 1; round <= rounds; round++) {
      await writeSource(site, round);
      const before = await contentOf(site.at("docs"));
      const daemon = new RunningDaemon(site.configFile);
      await daemon.started();
      await setTimeout(Math.random() * 2500);
      expect(await daemon.end("SIGKILL")).toBe("SIGKILL");
      for (const location of ["primary", "far"])
        expect([location, await damageAt(site, location)]).toEqual([location, []]);
      expect(await contentOf(site.at("docs"))).toEqual(before);
    }
    const last = new RunningDaemon(site.configFile);
    await last.line(({ message, outcome }) => message === "job finished" && outcome === "ok");
    expect(await last.end("SIGTERM")).toBe(0);
    expect(await fs.readdir(site.config.repository.state)).not.toContain("control.sock");
    for (const location of ["primary", "far"])
      expect([location, await damageAt(site, location)]).toEqual([location, []]);
  });
});
