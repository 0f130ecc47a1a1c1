import { expect, test } from "vitest";
import { FaultyStorage } from "../helpers/faulty-storage.ts";
import { working } from "../helpers/working-job.ts";

/** What a run says of its replica, whose disk is full when points are to be sent there. */
async function toldOfFull(appendOnly: boolean): Promise<string[]> {
  const { clock, locations, run } = await working(`
replicas: { far: { path: replicas/far, append_only: ${String(appendOnly)} } }
sources: { docs: { directory: { path: docs } } }
policies: { often: { sources: [docs], schedule: { manual: true }, keep: { last: 2 }, replicate: { far: {} } } }
`);
  const open = locations.replica.bind(locations);
  locations.replica = async (...args) => {
    const opened = await open(...args);
    const storage = new FaultyStorage(opened.repository.storage, clock);
    storage.script({ operation: "put", name: /^packs/, times: 99, fault: { kind: "fail", code: "storage_full" } });
    return { ...opened, repository: { ...opened.repository, storage } };
  };
  const { replicas } = await run();
  return replicas.flatMap(({ errors }) => errors.map(({ code, message }) => `${code}: ${message}`));
}

test("a full replica where this host may only add is told with what frees space there", async () => {
  const [error, ...others] = await toldOfFull(true);
  expect(others).toEqual([]);
  expect(error).toMatch(/^storage_full: .*This host may only add to far: .*rights to delete there/);
});

test("where this host may delete, the storage's own advice stands", async () => {
  const [error] = await toldOfFull(false);
  expect(error).toMatch(/^storage_full: /);
  expect(error).not.toContain("may only add");
});
