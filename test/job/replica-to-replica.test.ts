/** A replica that gets its points from another one. */
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { moveAway, working } from "../helpers/working-job.ts";

/** `keep` is of `near`. */
function chain(keep = "{ last: 10 }"): string {
  return `
replicas: { near: { path: replicas/near }, far: { path: replicas/far } }
sources: { docs: { directory: { path: docs } } }
policies:
  often:
    sources: [docs]
    schedule: { manual: true }
    keep: { last: 1 }
    replicate: { far: { from: near, keep: { last: 10 } }, near: { keep: ${keep} } }
`;
}

test("each run brings it there by way of the other, and nothing of it is read at the primary", async () => {
  const { site, next, times } = await working(chain());
  await next("one");
  const report = await next("two", (event) => {
    if (event.event === "replication-finished" && event.replica === "near")
      renameSync(site.at("repository", "packs"), site.at("gone"));
  });
  renameSync(site.at("gone"), site.at("repository", "packs"));
  expect(report.replicas).toMatchObject([
    { replica: "far", outcome: "ok", points: 1, backlog: { points: 0 } },
    { replica: "near", outcome: "ok", points: 1 },
  ]);
  expect(await times("near")).toEqual([1, 2]);
  expect(await times("far")).toEqual([1, 2]);
});

test("while the other can't be reached nothing is sent, and it is said why; then it catches up", async () => {
  const { site, next, times } = await working(chain());
  await next("one");
  const bringBack = await moveAway(site, "near");
  const report = await next("two");
  expect(report.outcome).toBe("partial");
  expect(report.replicas[0]).toMatchObject({ replica: "far", outcome: "failed", points: 0 });
  expect(report.replicas[0]?.errors[0]).toMatchObject({
    code: "storage_unreachable",
    message: expect.stringMatching(/^Cannot replicate from near to far: .*--from primary --to far/s) as string,
  });
  expect(await times("far")).toEqual([1]);
  expect(await times("primary")).toEqual([1, 2]);
  await bringBack();
  expect(await next("three")).toMatchObject({ outcome: "ok" });
  expect(await times("far")).toEqual([1, 2, 3]);
  expect(await times("primary")).toEqual([3]);
});

test("what the other can't take is no reason to keep back what it has", async () => {
  const { site, next, times } = await working(chain());
  const bringBack = await next("one").then(() => moveAway(site));
  await next("two");
  await bringBack();
  const report = await next("three", (event) => {
    if (event.event !== "capture-finished") return;
    const unfinished = site.at("replicas", "near", "tmp");
    rmSync(unfinished, { recursive: true, force: true });
    writeFileSync(unfinished, "no folder");
  });
  expect(report.replicas).toMatchObject([
    { replica: "far", outcome: "ok", points: 1 },
    { replica: "near", outcome: "failed" },
  ]);
  expect(await times("far")).toEqual([1, 2]);
});

test("the primary doesn't keep back what can't come there any more, since the other's rules don't want it", async () => {
  const { site, next, times } = await working(chain("{ last: 1 }"));
  const bringBack = await next("one").then(() => moveAway(site));
  for (const text of ["two", "three"]) await next(text);
  expect(await times("primary")).toEqual([3]);
  await bringBack();
  expect((await next("four")).outcome).toBe("ok");
  expect(await times("far")).toEqual([1, 3, 4]);
});
