/** A thief, or somebody careless, has deleted recovery points at a replica. */
import * as fs from "node:fs/promises";
import { expect, test } from "vitest";
import { working } from "../helpers/working-job.ts";

const rest = `
replicas: { far: { path: replicas/far } }
sources: { docs: { directory: { path: docs } } }
policies:
  often:
    sources: [docs]
    schedule: { manual: true }
    keep: { last: 1 }
    replicate: { far: { keep: { last: 10 } } }
`;

test("the next run says how many are gone, sends what is still here, and says no more when that is there again", async () => {
  const { site, next, times } = await working(rest);
  for (const text of ["one", "two"]) await next(text);
  expect(await times("far")).toEqual([1, 2]);
  await fs.rm(site.at("replicas", "far", "points"), { recursive: true });
  const [replica] = (await next("three")).replicas;
  expect(replica).toMatchObject({ outcome: "partial", points: 2, errors: [{ code: "damaged" }] });
  expect(replica?.errors[0]?.message).toMatch(
    /^Somebody has deleted at far: 2 recovery points of docs that .* are gone, /,
  );
  expect(await times("far")).toEqual([2, 3]);
  expect(await next("four")).toMatchObject({ outcome: "ok" });
});
