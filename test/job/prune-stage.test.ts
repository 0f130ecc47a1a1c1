import { expect, test } from "vitest";
import { planPruneStage } from "../../src/job/prune-stage.ts";
import { putSmallObject } from "../../src/repository/points/small-objects.ts";
import { rejection } from "../helpers/rejection.ts";
import { namesOf, withBadSector } from "../helpers/repository.ts";
import { working } from "../helpers/working-job.ts";

test("nothing is forgotten while a tag or a manifest is on a bad sector: what it says may keep a point", async () => {
  const { site, clock, locations, next, points } = await working();
  for (const text of ["1", "2"]) await next(text);
  const location = await locations.location("primary");
  const { repository } = location;
  const [{ id: point, name: manifest } = { id: "", name: "" }] = await points();
  const time = new Date(clock.now()).toISOString();
  await putSmallObject(repository, "tags", { version: 1, point, time, tags: ["keep"] });
  const [policy] = site.config.policies;
  if (policy === undefined) throw new Error("no policy");
  const plan = async (names: readonly string[]): Promise<unknown> => {
    const sick = { ...location, repository: { ...withBadSector(repository, names), memory: undefined } };
    const context = {
      config: () => site.config,
      clock,
      locations: { replica: locations.replica.bind(locations), location: async () => await Promise.resolve(sick) },
    };
    return await planPruneStage(context, { policy, location: "primary" });
  };
  expect(await plan([])).toMatchObject({ plan: { location: "primary" } });
  const tags = await namesOf(repository.storage, "tags/");
  for (const name of [...tags, manifest])
    expect(await rejection(plan([name]))).toMatchObject({ code: "storage_failed" });
});
