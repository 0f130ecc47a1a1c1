import * as fs from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { connectReplica, openLocation, openPrimary } from "../../src/job/locations.ts";
import { readSecret } from "../../src/job/read-secret.ts";
import { exists } from "../../src/repository/repository.ts";
import { rejection } from "../helpers/rejection.ts";
import { makeSite } from "../helpers/site.ts";
import { tempDir } from "../helpers/temp-dir.ts";

describe("the key", () => {
  it("is read from a key file, a credential or a passphrase file", async () => {
    const { at, root } = await makeSite();
    const file = await readSecret({ kind: "key_file", path: at("key") });
    const environment = { CREDENTIALS_DIRECTORY: root };
    expect(await readSecret({ kind: "key_credential", name: "key" }, { environment })).toEqual(file);
    for (const text of ["correct horse", "correct horse\n", "correct horse\r\n"]) {
      await fs.writeFile(at("passphrase"), text);
      const secret = await readSecret({ kind: "passphrase_file", path: at("passphrase") });
      expect(secret).toEqual({ type: "passphrase", passphrase: "correct horse" });
    }
  });

  it("is missed in words", async () => {
    const { at } = await makeSite();
    await fs.writeFile(at("empty"), "\n");
    await fs.writeFile(at("text"), "hello\n");
    const problem = async (origin: Parameters<typeof readSecret>[0]): Promise<unknown> =>
      await rejection(readSecret(origin, { environment: {} }));
    expect(await problem({ kind: "key_file", path: at("nowhere") })).toMatchObject({ code: "key_unreadable" });
    expect(await problem({ kind: "key_credential", name: "key" })).toMatchObject({ code: "key_unreadable" });
    expect(await problem({ kind: "passphrase_file", path: at("empty") })).toMatchObject({ code: "key_unreadable" });
    expect(await problem({ kind: "key_file", path: at("text") })).toMatchObject({ code: "key_wrong" });
  });

  it("of another repository opens nothing", async () => {
    const [one, other] = [await makeSite(), await makeSite()];
    await fs.copyFile(other.at("key"), one.at("key"));
    expect(await rejection(openPrimary(one.config))).toMatchObject({ code: "key_wrong" });
  });
});

describe("a replica", () => {
  it("is made the first time, and opens with the key alone afterwards", async () => {
    const { config, at } = await makeSite();
    const primary = await openPrimary(config);
    expect(await rejection(openLocation(config, "far"))).toMatchObject({ code: "storage_unreachable" });
    const made = await connectReplica(config, primary, "far");
    expect(await exists(made.repository.storage, "format")).toBe(true);
    await fs.rm(at("repository"), { recursive: true });
    const alone = await openLocation(config, "far");
    expect(alone.repository.keys.repositoryId).toBe(primary.repository.keys.repositoryId);
  });

  it("is opened with the key alone when it is made, and doesn't count as one before it opens", async () => {
    const { config, at } = await makeSite();
    const primary = await openPrimary(config);
    // A key is written once, so this one stays there: by its name it is the primary's.
    const [key = ""] = await fs.readdir(at("repository", "keys"));
    await fs.mkdir(at("replicas", "far", "keys"), { recursive: true });
    await fs.writeFile(at("replicas", "far", "keys", key), "rubbish");
    for (const attempt of [1, 2]) {
      const error = await rejection(connectReplica(config, primary, "far"));
      expect([attempt, error]).toMatchObject([attempt, { code: "damaged" }]);
      expect(String(error)).toContain("doesn't open with the key of the configuration");
    }
    await fs.rm(at("replicas", "far", "keys", key));
    await connectReplica(config, primary, "far");
    expect((await openLocation(config, "far")).repository.keys.repositoryId).toBe(primary.repository.keys.repositoryId);
  });

  it("that has vanished, or is empty now, is an error and not made anew", async () => {
    const { config, at } = await makeSite();
    const primary = await openPrimary(config);
    await connectReplica(config, primary, "far");
    await fs.rename(at("replicas", "far"), at("replicas", "away"));
    expect(await rejection(connectReplica(config, primary, "far"))).toMatchObject({ code: "storage_unreachable" });
    expect(await fs.readdir(at("replicas"))).toEqual(["away"]);
    await fs.mkdir(at("replicas", "far", "tmp"), { recursive: true });
    expect(await rejection(connectReplica(config, primary, "far"))).toMatchObject({ code: "repository_missing" });
    await fs.rm(at("replicas", "far"), { recursive: true });
    await fs.rename(at("replicas", "away"), at("replicas", "far"));
    await connectReplica(config, primary, "far");
  });

  it("is not made where even the folder above it lacks: its disk isn't there", async () => {
    const { config, at } = await makeSite();
    await fs.rm(at("replicas"), { recursive: true });
    const error = await rejection(connectReplica(config, await openPrimary(config), "far"));
    expect(error).toMatchObject({ code: "storage_unreachable" });
    expect(String(error)).toContain("Mount the disk");
    await rejection(fs.stat(at("replicas")));
  });

  it("of another repository is left alone", async () => {
    const [one, other] = [await makeSite(), await makeSite()];
    await connectReplica(other.config, await openPrimary(other.config), "far");
    await fs.rename(other.at("replicas", "far"), one.at("replicas", "far"));
    const error = await rejection(connectReplica(one.config, await openPrimary(one.config), "far"));
    expect(error).toMatchObject({ code: "repository_exists" });
  });

  it("that isn't in the configuration is asked back for", async () => {
    const { config } = await makeSite();
    const error = await rejection(openLocation(config, "fat"));
    expect(error).toMatchObject({ code: "not_found" });
    expect(String(error)).toContain("Did you mean far?");
  });
});

it("a primary that isn't there is missed in words", async () => {
  const { config, at } = await makeSite({ root: await tempDir() });
  await fs.rm(at("repository"), { recursive: true });
  const error = await rejection(openPrimary(config));
  expect(error).toMatchObject({ code: "storage_unreachable" });
  expect(error.message).toMatch(/mounted\. If it is lost, `stillpoint recover` rebuilds it/);
});
