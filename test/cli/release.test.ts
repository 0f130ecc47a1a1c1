/** Releasing a point wherever it is held. */
import * as fs from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { primaryName } from "../../src/job/locations.ts";
import { makeSite, type Site } from "../helpers/site.ts";
import { type Ended, stillpoint } from "./harness.ts";

const rest = `
replicas: { near: { path: replicas/near }, far: { path: replicas/far } }
sources: { docs: { directory: { path: docs } } }
policies:
  often: { sources: [docs], schedule: { manual: true }, keep: { last: 1 }, replicate: { near: { keep: { last: 9 } }, far: {} } }
`;

interface Held {
  readonly site: Site;
  readonly id: string;
  readonly verb: (...args: string[]) => Promise<Ended>;
  /** The locations at which the point is held. */
  readonly heldAt: () => Promise<string[]>;
}

/** A point at a primary and two replicas, held at all three. */
async function heldEverywhere(): Promise<Held> {
  const site = await makeSite({ rest });
  const verb = async (...args: string[]): Promise<Ended> => await stillpoint([...args, "--config", site.configFile]);
  await verb("run", "often", "--quiet");
  const [point] = JSON.parse((await verb("list", "--json")).stdout) as { id: string }[];
  const id = point?.id ?? "";
  await verb("hold", id);
  await verb("replicate", "--quiet");
  const folders = { [primaryName]: "repository", near: "replicas/near", far: "replicas/far" };
  const heldAt = async (): Promise<string[]> => {
    const held = Object.entries(folders).map(async ([name, folder]) => {
      const names = await fs.readdir(site.at(folder, "holds")).catch((): string[] => []);
      return names.includes(id) ? [name] : [];
    });
    return (await Promise.all(held)).flat();
  };
  expect(await heldAt()).toEqual([primaryName, "near", "far"]);
  return { site, id, verb, heldAt };
}

describe("release", () => {
  test("is for the primary and every replica", async () => {
    const { id, verb, heldAt } = await heldEverywhere();
    const { status, stdout } = await verb("release", id.slice(0, 8));
    expect({ status, stdout }).toEqual({ status: 0, stdout: `${id} is released at primary, near, far\n` });
    expect(await heldAt()).toEqual([]);
    expect((await verb("release", id)).stdout).toBe(`${id} isn't held\n`);
  });

  test("with --location is for that one alone, be it the primary", async () => {
    const { id, verb, heldAt } = await heldEverywhere();
    await verb("release", id, "--location", "near");
    expect(await heldAt()).toEqual([primaryName, "far"]);
    await verb("release", id, "--location", primaryName);
    expect(await heldAt()).toEqual(["far"]);
  });

  test("names the replica that it can't reach, and goes on with the others: exit status 3", async () => {
    const { site, id, verb, heldAt } = await heldEverywhere();
    await fs.rename(site.at("replicas", "near"), site.at("replicas", "away"));
    const { status, stdout } = await verb("release", id);
    expect(status).toBe(3);
    expect(stdout).toContain(`${id} is released at primary, far\n`);
    expect(stdout).toContain(`failed  ${id} may still be held at near: `);
    await fs.rename(site.at("replicas", "away"), site.at("replicas", "near"));
    expect(await heldAt()).toEqual(["near"]);
    expect(JSON.parse((await verb("release", id, "--json")).stdout)).toEqual({
      id,
      held: false,
      released: ["near"],
      failed: [],
    });
  });

  test("finds a point that only a replica still has", async () => {
    const { site, id, verb, heldAt } = await heldEverywhere();
    await verb("release", id, "--location", primaryName);
    await verb("forget", id);
    const { status, stdout } = await verb("release", id.slice(0, 8));
    expect({ status, stdout }).toEqual({ status: 0, stdout: `${id} is released at near, far\n` });
    expect(await heldAt()).toEqual([]);
    expect(await fs.readdir(site.at("repository", "holds"))).toEqual([]);
  });

  test("of a point that is nowhere is an error", async () => {
    const { verb } = await heldEverywhere();
    const { status, stderr } = await verb("release", "00000000");
    expect(status).not.toBe(0);
    expect(stderr).toContain("No recovery point has the id 00000000");
  });
});
