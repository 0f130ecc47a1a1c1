import { describe, expect, test } from "vitest";
import { StillpointError } from "../../../src/errors.ts";
import { sameContent, versionsByName } from "../../../src/repository/locks/versions.ts";
import type { ObjectLocks, ObjectVersion } from "../../../src/storage/object-locks.ts";

function version(id: string, facts: Partial<ObjectVersion> = {}): ObjectVersion {
  return { name: "a", version: id, current: false, marker: false, size: 3, etag: id, time: 1000, ...facts };
}

/** Lists these versions, and has these contents by version. */
function locksWith(listed: readonly ObjectVersion[], contents: Readonly<Record<string, string>> = {}) {
  const read: string[] = [];
  const locks: Pick<ObjectLocks, "get" | "versions"> = {
    async *versions() {
      for (const one of listed) yield await Promise.resolve(one);
    },
    get: async (_, id) => {
      read.push(id);
      const content = contents[id];
      if (content === undefined) throw new StillpointError("object_missing", { what: `no version ${id}` });
      return await Promise.resolve(Buffer.from(content));
    },
  };
  return { locks: locks as ObjectLocks, read };
}

describe("the order of versions that came in one second, as stores list them: newest first, markers apart", () => {
  test.each<[string, ObjectVersion[], string[]]>([
    ["several", [version("c", { current: true }), version("b"), version("a")], ["a", "b", "c"]],
    ["hidden", [version("a"), version("m", { marker: true, current: true })], ["a", "m"]],
    [
      "brought back",
      [version("a"), version("b", { current: true, time: 2000 }), version("m", { marker: true })],
      ["m", "a", "b"],
    ],
    ["of other seconds", [version("a", { time: 3000 }), version("b", { time: 2000 })], ["b", "a"]],
  ])("%s", async (_, listed, order) => {
    const named = await versionsByName(locksWith(listed).locks, "", {});
    expect(named.get("a")?.map(({ version: id }) => id)).toEqual(order);
  });
});

describe("two versions have the same content", () => {
  test.each<[string, Partial<ObjectVersion>, string, boolean, number]>([
    ["when size and tag are the same, unread", { etag: "a" }, "abc", true, 0],
    ["when the tags differ and the bytes don't", {}, "abc", true, 2],
    ["not when the bytes differ", {}, "abd", false, 2],
    ["not when the sizes differ, whatever the tags say", { etag: "a", size: 4 }, "abc", false, 0],
  ])("%s", async (_, facts, content, same, reads) => {
    const { locks, read } = locksWith([], { a: "abc", b: content });
    expect(await sameContent(locks, version("a"), version("b", facts), {})).toBe(same);
    expect(read).toHaveLength(reads);
  });

  test("not by tags that say nothing", async () => {
    const { locks } = locksWith([], { a: "abc", b: "abd" });
    expect(await sameContent(locks, version("a", { etag: "" }), version("b", { etag: "" }), {})).toBe(false);
  });

  test("not when one of them has gone meanwhile", async () => {
    const { locks } = locksWith([], { a: "abc" });
    expect(await sameContent(locks, version("a"), version("b"), {})).toBe(false);
  });
});
