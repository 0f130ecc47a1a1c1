import { beforeEach, describe, expect, test } from "vitest";
import { StillpointError } from "../../src/errors.ts";
import { Lease, readLease, withLease } from "../../src/repository/lease.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { FsStorage } from "../../src/storage/drivers/fs.ts";
import { rejection } from "../helpers/rejection.ts";
import {
  alter,
  flipByte,
  makeTestRepository,
  namesOf,
  overriding,
  type TestRepository,
} from "../helpers/repository.ts";
import { SimulatedDisk } from "../helpers/simulated-disk.ts";

const minute = 60_000;
let here: TestRepository;
let repository: Repository;

beforeEach(async () => {
  here = await makeTestRepository();
  ({ repository } = here);
});

async function acquire(holder: string, where = repository): Promise<Lease> {
  return await Lease.acquire(where, { holder });
}

describe("a lease", () => {
  test("is held by one, who is named to the other", async () => {
    const lease = await acquire("host a, process 1");
    const error = await rejection(acquire("host b"));
    expect(error).toMatchObject({ code: "busy", exit: 5, message: expect.stringContaining("host a, process 1") });
    await lease.release();
    expect(await namesOf(repository.storage, "lease")).toEqual([]);
    await (await acquire("host b")).release();
  });

  test("of one who died runs out, later than any clock could make it seem", async () => {
    await acquire("dead");
    here.clock.pass(20 * minute);
    expect(await rejection(acquire("next"))).toMatchObject({ code: "busy" });
    here.clock.pass(6 * minute);
    expect((await acquire("next")).storeTime).toBeGreaterThan(0);
  });

  test("is given back by one who may not delete", async () => {
    const refuse = async (): Promise<never> =>
      await Promise.reject(new StillpointError("storage_denied", { what: "no right to delete" }));
    const storage = overriding(repository.storage, { delete: refuse });
    await (await acquire("host a", { ...repository, storage })).release();
    expect((await acquire("host b")).storeTime).toBeGreaterThan(0);
  });

  test("that lasts longer than any is forged, and doesn't count", async () => {
    const expires = new Date(here.clock.now() + 60 * minute).toISOString();
    const forged = JSON.stringify({ version: 1, holder: "thief", nonce: "00", expires });
    await repository.storage.put("lease", [repository.keys.sealObject("lease", Buffer.from(forged))]);
    expect((await acquire("host a")).storeTime).toBeGreaterThan(0);
  });

  test("is renewed while the work goes on, and not too often", async () => {
    const lease = await acquire("long work");
    const first = await readLease(repository, {});
    await lease.keep();
    expect(await readLease(repository, {})).toEqual(first);
    for (let i = 0; i < 10; i++) {
      here.clock.pass(6 * minute);
      await lease.keep();
    }
    expect(await rejection(acquire("next"))).toMatchObject({ code: "busy" });
  });

  test("that another took is noticed, and not given back in its place", async () => {
    const lease = await acquire("slow");
    here.clock.pass(40 * minute);
    await acquire("quick");
    expect(await rejection(lease.keep())).toMatchObject({ code: "busy", message: expect.stringContaining("quick") });
    await lease.release();
    expect((await readLease(repository, {}))?.holder).toBe("quick");
  });

  test("of two who put theirs at the same moment only the last has it", async () => {
    let raced: Promise<unknown> | undefined;
    const storage = overriding(repository.storage, {
      stat: async (...call) => {
        // Just after our put another, who had seen no lease either, puts its own.
        const other = { ...repository, storage: overriding(repository.storage, { get: blind() }) };
        raced ??= acquire("other", other);
        await raced;
        return await repository.storage.stat(...call);
      },
    });
    expect(await rejection(acquire("we", { ...repository, storage }))).toMatchObject({ code: "busy" });
    expect((await readLease(repository, {}))?.holder).toBe("other");
  });

  test("that is damaged doesn't block anybody", async () => {
    await acquire("dead");
    await alter(here.disk, "lease", flipByte(60));
    expect(await acquire("next")).toBeInstanceOf(Lease);
  });

  test("is given back when the work fails, and the work's error is the one thrown", async () => {
    const work = async (): Promise<never> => await Promise.reject(new Error("the work failed"));
    expect(await rejection(withLease(repository, { holder: "x" }, work))).toMatchObject({ message: "the work failed" });
    expect(await namesOf(repository.storage, "lease")).toEqual([]);
  });

  /** Sees no lease at the first look. */
  function blind(): (typeof repository.storage)["get"] {
    let looks = 0;
    return async (...call) => {
      looks += 1;
      return await repository.storage.get(looks === 1 ? "lease-that-is-not-there" : call[0]);
    };
  }
});

test.each([
  ["ahead", 7, "420 s ahead"],
  ["behind", -7, "420 s behind"],
])("a store whose clock is %s of ours by more than five minutes is refused, with numbers", async (_, minutes, text) => {
  const { clock, disk } = here;
  const skewed = new SimulatedDisk({ now: () => clock.now() + minutes * minute });
  for (const folder of ["/repository", "/repository/tmp"]) await skewed.mkdir(folder);
  const storage = new FsStorage({ location: "primary", root: "/repository", files: skewed, clock });
  await storage.put("format", [await disk.read("/repository/format")]);
  const error = await rejection(acquire("we", { ...repository, storage }));
  expect(error).toMatchObject({ code: "sweep_unsafe", message: expect.stringContaining(text) });
  expect(await namesOf(storage, "lease")).toEqual([]);
});
