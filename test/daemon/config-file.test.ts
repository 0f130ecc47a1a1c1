import * as fs from "node:fs/promises";
import { dirname } from "node:path";
import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { ConfigFile } from "../../src/daemon/config-file.ts";
import { StillpointError } from "../../src/errors.ts";
import { createLogger } from "../../src/host/log.ts";
import { nodeFiles } from "../../src/host/node-files.ts";
import type { Config } from "../../src/policy/config.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { rejection } from "../helpers/rejection.ts";
import { tempDir } from "../helpers/temp-dir.ts";

function text(keep: string, rest = ""): string {
  return `version: 1
repository: { path: repository, key_file: key }
sources: { docs: { directory: { path: docs } } }
policies: { often: { sources: [docs], schedule: { manual: true }, keep: { ${keep} } } }
${rest}`;
}

/** A loaded configuration file. `refuse` makes the next one that is applied fail. */
async function loaded() {
  const path = `${await tempDir()}/stillpoint.yaml`;
  await fs.writeFile(path, text("last: 1"));
  const applied: Config[] = [];
  const state = { refuse: false, log: "" };
  const clock = new ManualClock();
  const file = new ConfigFile({
    path,
    files: nodeFiles,
    clock,
    log: createLogger({ level: "debug", to: (line) => void (state.log += line) }),
    apply: (config) => {
      if (state.refuse) return Promise.reject(new StillpointError("busy", { what: "The port is taken" }));
      applied.push(config);
      return Promise.resolve();
    },
    applied: () => Promise.resolve(),
  });
  await file.load();
  const last = (): number | undefined => file.config.policies[0]?.keep.last;
  return { path, file, clock, applied, state, last };
}

describe("a reload", () => {
  it("puts a valid file into force", async () => {
    const { path, file, last } = await loaded();
    await fs.writeFile(path, text("last: 7"));
    expect(await file.reload()).toBe(true);
    expect([last(), file.error]).toEqual([7, undefined]);
    expect(await file.reload()).toBe(false);
  });

  it("leaves what was in force when the file isn't valid, with its full message, until it is valid again", async () => {
    const { path, file, applied, state, last } = await loaded();
    await fs.writeFile(path, text("lost: 7"));
    expect(await rejection(file.reload())).toMatchObject({ code: "config_invalid" });
    expect([last(), applied.length]).toEqual([1, 0]);
    expect(file.error?.message).toContain("stillpoint.yaml:4:");
    expect(state.log).toContain("stillpoint.yaml:4:");
    await fs.writeFile(path, text("last: 1"));
    expect(await file.reload()).toBe(false);
    expect(file.error).toBeUndefined();
  });

  it("changes nothing when a part of it can't be put into force", async () => {
    const { path, file, state, last } = await loaded();
    state.refuse = true;
    await fs.writeFile(path, text("last: 7"));
    expect(await rejection(file.reload())).toMatchObject({ code: "busy" });
    expect(last()).toBe(1);
    expect(file.error?.code).toBe("busy");
    state.refuse = false;
    expect(await file.reload()).toBe(true);
    expect(last()).toBe(7);
  });

  it("refuses another repository while it runs", async () => {
    const { path, file } = await loaded();
    await fs.writeFile(path, text("last: 7").replace("path: repository", "path: elsewhere"));
    expect(String(await rejection(file.reload()))).toContain("restart");
    expect(file.config.repository.path).toMatch(/repository$/);
  });

  it("warns of a key that every user can read", async () => {
    const { path, file, state } = await loaded();
    const key = path.replace("stillpoint.yaml", "key");
    await fs.writeFile(key, "");
    await fs.chmod(key, 0o644);
    await fs.chmod(dirname(path), 0o755);
    await fs.writeFile(path, text("last: 7"));
    await file.reload();
    expect(state.log).toContain(`chmod o= ${key}`);
  });

  it("survives that the file is gone for a while", async () => {
    const { path, file, last } = await loaded();
    await fs.rm(path);
    expect(await rejection(file.reload())).toMatchObject({ code: "config_missing" });
    await fs.writeFile(path, text("last: 3"));
    await file.reload();
    expect(last()).toBe(3);
  });
});

describe("following the file", () => {
  it("reloads once it was saved and nobody writes to it any more", async () => {
    const { path, file, clock, last } = await loaded();
    const controller = new AbortController();
    const following = file.follow(controller.signal);
    const second = async (): Promise<void> => {
      await clock.advance(1000);
      // The look at the file is real, and so is the reload: it sleeps again when they are done.
      while (clock.sleeping === 0) await setImmediate();
    };
    await second();
    await fs.writeFile(path, text("last: 12"));
    await second();
    expect(last()).toBe(1);
    await second();
    expect(last()).toBe(12);
    controller.abort();
    await following;
  });
});

it("doesn't start with what isn't valid", async () => {
  const path = `${await tempDir()}/stillpoint.yaml`;
  const make = (): ConfigFile =>
    new ConfigFile({
      path,
      files: nodeFiles,
      clock: new ManualClock(),
      log: createLogger({ level: "debug", to: () => undefined }),
      apply: () => Promise.resolve(),
      applied: () => Promise.resolve(),
    });
  expect(await rejection(make().load())).toMatchObject({ code: "config_missing" });
  await fs.writeFile(path, "version: 2\n");
  expect(await rejection(make().load())).toMatchObject({ code: "config_invalid" });
});
