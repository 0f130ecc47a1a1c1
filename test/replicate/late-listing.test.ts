import { describe, expect, it } from "vitest";
import { collect } from "../helpers/collect.ts";
import { type Fault, FaultyStorage } from "../helpers/faulty-storage.ts";
import {
  type Content,
  day,
  emptySite,
  expected,
  open,
  primarySite,
  readAll,
  replicateTo,
  storageOn,
  take,
} from "./sites.ts";

const contents: readonly Content[] = [
  { image: [1, 2, 3], stream: [4], files: { a: 6 } },
  { image: [1, 7, 3], stream: [4], files: { b: 6 } },
  { image: [1, 7, 8], stream: [4, 9], files: { b: 6 } },
];

/** No promise of the storage contract; an overloaded Swift does it all the same (docs/offsite.md). */
describe("a store that lists late what was put", () => {
  it.each(["keys/", "packs/", "index/", "points/", ""])(
    "gets each point whole when that is so of %j",
    async (prefix) => {
      const primary = await open(await primarySite());
      const site = await emptySite();
      const names = async (): Promise<Set<string>> =>
        new Set((await collect(storageOn(site, "replica").list(""))).map(({ name }) => name));
      const all = new Map<string, unknown>();
      let listed = new Set<string>();
      for (const [at, content] of contents.entries()) {
        const late = (await names()).difference(listed);
        listed = await names();
        const hideLate: Fault = {
          kind: "mislist",
          mislist: (infos) => infos.filter(({ name }) => !(name.startsWith(prefix) && late.has(name))),
        };
        const storage = new FaultyStorage(storageOn(site, "replica"));
        storage.script({ operation: "list", fault: hideLate, times: 99 });
        all.set((await take(primary, content, { time: (at + 1) * day })).id, expected(content));
        expect(await replicateTo(primary, storage)).toMatchObject({ ended: undefined, failed: [] });
        expect(await readAll(site)).toEqual(all);
      }
      const report = await replicateTo(primary, storageOn(site, "replica"));
      expect(report).toMatchObject({ replicated: [], backlog: { lacking: [] }, bytesSent: 0 });
    },
  );
});
