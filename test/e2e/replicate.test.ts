/** Replicating from one replica to another, pruning a replica from elsewhere, and reading again what was sent. */
import * as fs from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { makeSite, type Site } from "../helpers/site.ts";
import { type Ended, stillpoint } from "../cli/harness.ts";

const rest = `
replicas: { near: { path: replicas/near }, far: { path: replicas/far } }
sources: { docs: { directory: { path: docs } } }
policies:
  often: { sources: [docs], schedule: { manual: true }, keep: { last: 5 }, replicate: { near: {}, far: { keep: { last: 2 } } } }
`;

interface Listed {
  readonly id: string;
  readonly held: boolean;
  readonly tags: readonly string[];
  readonly verified: string | null;
}

interface Replicated {
  readonly site: Site;
  readonly verb: (...args: string[]) => Promise<Ended>;
  readonly list: (location: string) => Promise<Listed[]>;
  /** Whatever is put into the folder of the source is captured. */
  readonly capture: (text: string) => Promise<void>;
}

/** Three points at the primary and at `near`; nothing has been sent to `far`, which isn't mounted yet. */
async function threePoints(): Promise<Replicated> {
  const site = await makeSite({ rest });
  const verb = async (...args: string[]): Promise<Ended> => await stillpoint([...args, "--config", site.configFile]);
  const list = async (location: string): Promise<Listed[]> =>
    JSON.parse((await verb("list", "--location", location, "--json")).stdout) as Listed[];
  const capture = async (text: string): Promise<void> => {
    await fs.writeFile(site.at("docs", "letter"), text);
    await verb("run", "often", "--quiet");
  };
  await fs.writeFile(site.at("replicas", "far"), "no folder");
  for (const text of ["one", "two", "three"]) await capture(text);
  await fs.rm(site.at("replicas", "far"));
  return { site, verb, list, capture };
}

describe("replicate --from", () => {
  test("needs no primary: the points, holds and tags of a replica come to another one, by that one's rules", async () => {
    const { site, verb, list } = await threePoints();
    const points = await list("near");
    const newest = points.at(-1)?.id ?? "";
    await verb("hold", newest, "--location", "near");
    await verb("tag", newest, "kept", "--location", "near");
    await fs.rename(site.at("repository"), site.at("gone"));
    const { status, stdout } = await verb("replicate", "--from", "near", "--to", "far", "--quiet");
    expect({ status, stdout }).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^far, often: 2 recovery points sent/) as string,
    });
    const far = await list("far");
    expect(far.map(({ id }) => id)).toEqual(points.slice(1).map(({ id }) => id));
    expect(far.at(-1)).toMatchObject({ id: newest, held: true, tags: ["kept"] });
    await verb("restore", newest, "--location", "far", "--to", site.at("back"));
    expect(await fs.readFile(site.at("back", "letter"), "utf8")).toBe("three");
    expect(await fs.readdir(site.root)).not.toContain("repository");
  });

  test("without it, the configuration says where from; and --from primary is by hand", async () => {
    const { site, verb, list } = await threePoints();
    const text = await fs.readFile(site.configFile, "utf8");
    await fs.writeFile(site.configFile, text.replace("far: { keep", "far: { from: near, keep"));
    await fs.rename(site.at("repository"), site.at("gone"));
    expect(await verb("replicate", "--to", "far", "--quiet")).toMatchObject({ status: 0 });
    expect(await list("far")).toHaveLength(2);
    await fs.rename(site.at("gone"), site.at("repository"));
    await fs.rename(site.at("replicas", "near"), site.at("replicas", "away"));
    await fs.rename(site.at("replicas", "far"), site.at("replicas", "lost"));
    // A new disk, of which this host knows nothing: else what it has seen there would have been deleted by somebody.
    await fs.rm(site.at("state", "replicas", "far.json"));
    await fs.rm(site.at("state", "catalogs"), { recursive: true });
    expect(await verb("replicate", "--to", "far", "--quiet")).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("near") as string,
    });
    expect(await verb("replicate", "--from", "primary", "--to", "far", "--quiet")).toMatchObject({ status: 0 });
    expect(await list("far")).toHaveLength(2);
  });

  test("what can't be meant is refused in words, and nothing is sent", async () => {
    const { verb } = await threePoints();
    expect(await verb("replicate", "--from", "near", "--to", "near")).toMatchObject({ status: 2 });
    expect(await verb("replicate", "--to", "nears")).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/Did you mean near\?/) as string,
    });
    expect(await verb("replicate", "--from", "fars")).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/Did you mean far\?/) as string,
    });
    expect(await verb("replicate", "--verify", "10%")).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/such as 1\/10/) as string,
    });
  });
});

describe("replicate --verify", () => {
  test("reads all of a replica, says so, and records it with each point", async () => {
    const { verb, list } = await threePoints();
    const { status, stdout } = await verb("replicate", "--to", "near", "--verify", "1/1", "--quiet");
    expect(status).toBe(0);
    expect(stdout).toMatch(/^near: 3 recovery points checked, .* \(all that is there\) read again and verified/m);
    expect((await list("near")).map(({ verified }) => verified)).not.toContain(null);
    expect((await list("primary")).map(({ verified }) => verified)).toEqual([null, null, null]);
  });

  test("a part proves nothing of a point as a whole; damage in what is read is exit status 4", async () => {
    const { site, verb, list } = await threePoints();
    const part = JSON.parse((await verb("replicate", "--to", "near", "--verify", "1/2", "--json")).stdout) as object[];
    expect(part).toMatchObject([{ replica: "near", verified: { report: { read_data: { of: 2 }, proofs: 0 } } }]);
    expect((await list("near")).map(({ verified }) => verified)).toEqual([null, null, null]);
    const [pack = ""] = (await fs.readdir(site.at("replicas", "near", "packs"), { recursive: true })).filter(
      (name) => name.length > 10,
    );
    const file = site.at("replicas", "near", "packs", pack);
    const bytes = await fs.readFile(file);
    bytes[70] = (bytes[70] ?? 0) ^ 1;
    await fs.rm(file);
    await fs.writeFile(file, bytes);
    const { status, stdout } = await verb("replicate", "--to", "near", "--verify", "1/1", "--quiet");
    expect(status).toBe(4);
    expect(stdout).toContain("DAMAGE");
  });
});

describe("prune --location", () => {
  test("prunes a replica without the primary, and nothing else", async () => {
    const { site, list } = await threePoints();
    const config = await fs.readFile(site.configFile, "utf8");
    // Another machine: it has no primary, and a state folder of its own.
    const elsewhere = site.at("elsewhere.yaml");
    const moved = config.replace("path: repository,", "path: nowhere/repository, state: elsewhere,");
    await fs.writeFile(elsewhere, moved.replace("near: {}", "near: { keep: { last: 2 } }"));
    await fs.rename(site.at("repository"), site.at("gone"));
    expect(await stillpoint(["prune", "--location", "near", "--config", elsewhere])).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/2 .*kept, 1 forgotten/) as string,
    });
    expect(await list("near")).toHaveLength(2);
    await fs.rename(site.at("gone"), site.at("repository"));
    expect(await list("primary")).toHaveLength(3);
  });
});
