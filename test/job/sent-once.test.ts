/** A replica whose rules keep other points than those of the primary. */
import { expect, test } from "vitest";
import { working } from "../helpers/working-job.ts";
import { namesOf } from "../helpers/repository.ts";

test("no point is sent twice, though the primary's oldest has no place there, and no record says so for ever", async () => {
  const { locations, next, times } = await working(`
replicas: { far: { path: replicas/far } }
sources: { docs: { directory: { path: docs } } }
policies:
  often:
    sources: [docs]
    schedule: { manual: true }
    keep: { last: 2 }
    replicate: { far: { keep: { yearly: 5 } } }
`);
  const { repository: far } = await locations.replica("far");
  for (const text of ["one", "two", "three", "four", "five"]) {
    const report = await next(text);
    expect(report).toMatchObject({ outcome: "ok", replicas: [{ points: 1, backlog: { points: 0 } }] });
    // It is seen to be forgotten; later a sweep takes the record.
    await times("far");
    for (const name of await namesOf(far.storage, "forgotten/")) await far.storage.delete(name);
  }
  expect(await times("far")).toEqual([1, 5]);
  // Nor does the primary wait for it to get there.
  expect(await times("primary")).toEqual([4, 5]);
});
