import { expect, test } from "vitest";
import { ConfigKeeper } from "../../src/job/config-keeper.ts";
import type { Config } from "../../src/policy/config.ts";
import { newestConfig } from "../../src/repository/points/kept-configs.ts";
import { FaultyStorage } from "../helpers/faulty-storage.ts";
import { rejection } from "../helpers/rejection.ts";
import { namesOf } from "../helpers/repository.ts";
import { makeSite } from "../helpers/site.ts";

test("jobs that begin together store it once; a failure is tried again by the next", async () => {
  const { config, primary } = await makeSite();
  const storage = new FaultyStorage(primary.storage);
  const location = { name: "primary", repository: { ...primary, storage } };
  const keeper = new ConfigKeeper("web1");
  storage.script({ operation: "put", fault: { kind: "fail", code: "storage_full" } });
  expect(await rejection(keeper.keep(location, config))).toMatchObject({ code: "storage_full" });
  await Promise.all([1, 2, 3].map(async () => await keeper.keep(location, config)));
  expect(await newestConfig(primary)).toMatchObject({ host: "web1", ...config.file });
  const changed: Config = { ...config, file: { ...config.file, text: `${config.file.text}# changed\n` } };
  await Promise.all([1, 2, 3].map(async () => await keeper.keep(location, changed)));
  expect(await newestConfig(primary)).toMatchObject(changed.file);
  expect(await namesOf(storage, "config/")).toHaveLength(2);
});
