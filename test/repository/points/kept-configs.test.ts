import { beforeEach, expect, test } from "vitest";
import { keepConfig, listOldConfigs, newestConfig } from "../../../src/repository/points/kept-configs.ts";
import { createRepository, type Repository } from "../../../src/repository/repository.ts";
import type { FaultyStorage } from "../../helpers/faulty-storage.ts";
import { ManualClock } from "../../helpers/manual-clock.ts";
import { faultyStorage } from "../../helpers/memory-storage.ts";
import { rejection } from "../../helpers/rejection.ts";
import { namesOf } from "../../helpers/repository.ts";

const clock = new ManualClock();
const about = { host: "web1", path: "/etc/stillpoint/stillpoint.yaml" };
let storage: FaultyStorage;
let repository: Repository;

beforeEach(async () => {
  storage = await faultyStorage();
  const key = { type: "key-file", secret: Buffer.alloc(32, 7) } as const;
  repository = await createRepository({ storage, clock, key, label: "test" });
});

async function keep(text: string): Promise<void> {
  await clock.advance(1000);
  await keepConfig(repository, { ...about, text });
}

test("the newest configuration is the one that is found, and the same one again isn't stored again", async () => {
  expect(await newestConfig(repository)).toBeUndefined();
  for (const text of ["one", "two", "two", "one"]) await keep(text);
  expect(await newestConfig(repository)).toMatchObject({ ...about, text: "one" });
  expect(await namesOf(storage, "config/")).toHaveLength(3);
  await clock.advance(1000);
  await keepConfig(repository, { ...about, path: "/srv/stillpoint.yaml", text: "one" });
  expect(await newestConfig(repository)).toMatchObject({ path: "/srv/stillpoint.yaml" });
});

test("one that doesn't open, or isn't of the time that its name says, isn't it; a storage that fails is an error", async () => {
  await keep("one");
  const [good = ""] = await namesOf(storage, "config/");
  await storage.put("config/29990101T000000000Z-0123456789abcdef", [Buffer.from("nonsense")]);
  await storage.put("config/29990101T000000000Z-0123456789abcdee", [await storage.get(good)]);
  expect(await newestConfig(repository)).toMatchObject({ text: "one" });
  await keep("one");
  expect(await namesOf(storage, "config/")).toHaveLength(3);
  storage.script({ operation: "get", name: /^config\//, fault: { kind: "fail", code: "storage_denied" } });
  expect(await rejection(newestConfig(repository))).toMatchObject({ code: "storage_denied" });
});

test("all but the newest ten are old, and what doesn't open pushes none of them out", async () => {
  for (let number = 0; number < 13; number++) await keep(String(number));
  const names = (await namesOf(storage, "config/")).toSorted();
  for (let number = 0; number < 10; number++)
    await storage.put(`config/29990101T000000000Z-012345678901234${number}`, [Buffer.from("nonsense")]);
  expect(new Set(await listOldConfigs(repository, {}))).toEqual(new Set(names.slice(0, 3)));
});
