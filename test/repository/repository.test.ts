import * as age from "age-encryption";
import { beforeEach, describe, expect, test } from "vitest";
import { newKeyFile, parseKeyFile, type Secret } from "../../src/repository/keys/key-objects.ts";
import {
  addKey,
  createRepository,
  listKeys,
  openRepository,
  removeKey,
  type Repository,
} from "../../src/repository/repository.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { memoryStorage } from "../helpers/memory-storage.ts";
import { rejection } from "../helpers/rejection.ts";

const clock = new ManualClock();
const keyFile = newKeyFile();
const secret: Secret = { type: "key-file", secret: keyFile.secret };
let storage: Storage;
let repository: Repository;

async function open(given: Secret): Promise<Repository> {
  return await openRepository({ storage, clock, secret: given });
}

beforeEach(async () => {
  storage = await memoryStorage();
  repository = await createRepository({ storage, clock, key: secret, label: "first" });
});

describe("a repository", () => {
  test("opens with its key file, and with no other", async () => {
    const opened = await open({ type: "key-file", secret: parseKeyFile(keyFile.text, "key") });
    expect(opened.keys.keyCheck).toBe(repository.keys.keyCheck);
    const wrong = await rejection(open({ type: "key-file", secret: newKeyFile().secret }));
    expect(wrong).toMatchObject({
      code: "key_wrong",
      message: expect.not.stringContaining(keyFile.secret.toString("base64")) as string,
    });
  });

  test("is never made over another", async () => {
    const before = await storage.get("format");
    expect(await rejection(createRepository({ storage, clock, key: secret, label: "again" }))).toMatchObject({
      code: "repository_exists",
    });
    expect(await storage.get("format")).toEqual(before);
    expect(await listKeys(storage)).toHaveLength(1);
  });

  test("says that it isn't there", async () => {
    storage = await memoryStorage();
    expect(await rejection(open(secret))).toMatchObject({ code: "repository_missing" });
  });

  test.each([
    ["of a later version", (text: string) => text.replace('"version":1', '"version":2'), "format_unsupported"],
    ["of an unknown suite", (text: string) => text.replace('"suite":1', '"suite":9'), "format_unsupported"],
    ["cut off", (text: string) => text.slice(0, 40), "damaged"],
    [
      "with another repository's id",
      (text: string) => text.replace(/"repository":"../, '"repository":"00'),
      "key_wrong",
    ],
  ])("refuses a format %s", async (_, change, code) => {
    const text = (await storage.get("format")).toString();
    expect(change(text)).not.toBe(text);
    await storage.put("format", [Buffer.from(change(text))]);
    expect(await rejection(open(secret))).toMatchObject({ code });
  });

  test("refuses a key that was altered", async () => {
    const [key] = await listKeys(storage);
    const object = JSON.parse((await storage.get(`keys/${String(key?.id)}`)).toString()) as { wrapped: string };
    const wrapped = Buffer.from(object.wrapped, "base64");
    wrapped[0] = (wrapped[0] as number) ^ 1;
    await storage.put(`keys/${String(key?.id)}`, [
      Buffer.from(JSON.stringify({ ...object, wrapped: wrapped.toString("base64") })),
    ]);
    expect(await rejection(open(secret))).toMatchObject({ code: "key_wrong" });
  });
});

describe("keys", () => {
  test("several open the same repository, and one can be taken away", async () => {
    const passphrase: Secret = { type: "passphrase", passphrase: "correct horse" };
    const identity = await age.generateIdentity();
    await addKey(repository, passphrase, "in the safe");
    await addKey(repository, { type: "age", recipient: await age.identityToRecipient(identity) }, "administrator");
    for (const given of [secret, passphrase, { type: "age", identity } as const]) {
      expect((await open(given)).keys.keyCheck).toBe(repository.keys.keyCheck);
    }
    const first = (await listKeys(storage)).find((key) => key.label === "first");
    await removeKey(storage, String(first?.id));
    expect(await rejection(open(secret))).toMatchObject({ code: "key_wrong" });
    expect((await open(passphrase)).keys.keyCheck).toBe(repository.keys.keyCheck);
  });

  test.each([
    ["cut off", async (data: Buffer) => await Promise.resolve(data.subarray(0, 40))],
    ["empty", async () => await Promise.resolve(Buffer.alloc(0))],
    ["absurdly long", async (data: Buffer) => await Promise.resolve(Buffer.concat([data, Buffer.alloc(1 << 20, " ")]))],
  ])("one that is %s leaves the others their use, and isn't called a wrong key", async (_, change) => {
    const other: Secret = { type: "key-file", secret: newKeyFile().secret };
    const damaged = `keys/${await addKey(repository, other, "second")}`;
    await storage.put(damaged, [await change(await storage.get(damaged))]);
    expect((await open(secret)).keys.keyCheck).toBe(repository.keys.keyCheck);
    const error = await rejection(open(other));
    expect(error).toMatchObject({ code: "damaged", message: expect.stringContaining(damaged) as string });
  });

  test("a passphrase is the same however its accents are typed", async () => {
    await addKey(repository, { type: "passphrase", passphrase: "caf\u00e9" }, "composed");
    const opened = await open({ type: "passphrase", passphrase: "cafe\u0301" });
    expect(opened.keys.keyCheck).toBe(repository.keys.keyCheck);
  });

  test("the last one stays", async () => {
    const [only] = await listKeys(storage);
    expect(await rejection(removeKey(storage, String(only?.id)))).toMatchObject({ code: "usage" });
    expect(await rejection(removeKey(storage, "0000000000000000"))).toMatchObject({ code: "not_found" });
    await open(secret);
  });

  test("what isn't a recipient or a key file is refused", async () => {
    expect(await rejection(addKey(repository, { type: "age", recipient: "age1nonsense" }, "x"))).toMatchObject({
      code: "usage",
    });
    for (const text of ["", "stillpoint-key-1:", "stillpoint-key-1:AAAA", "something else"]) {
      expect(() => parseKeyFile(text, "/etc/key")).toThrow(/\/etc\/key/);
    }
    expect(await listKeys(storage)).toHaveLength(1);
  });
});
