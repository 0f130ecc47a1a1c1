import { cpSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { initialised, stillpoint } from "./harness.ts";

const recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

async function keys(config: string): Promise<{ id: string; type: string; label: string }[]> {
  const { stdout } = await stillpoint(["key", "list", "--json", "--config", config]);
  return JSON.parse(stdout) as { id: string; type: string; label: string }[];
}

describe("add", () => {
  test("a key file: made, private, and it opens the repository", async () => {
    const { folder, config } = await initialised();
    const file = join(folder, "second.key");
    expect(
      (await stillpoint(["key", "add", "--new-key-file", file, "--label", "safe", "--config", config])).status,
    ).toBe(0);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(await keys(config)).toMatchObject([{ type: "key-file" }, { type: "key-file", label: "safe" }]);
    const repository = join(folder, "repository");
    expect((await stillpoint(["list", "--repository", repository, "--key-file", file])).status).toBe(0);
  });

  test("says where else it opens, and where a removed one still does", async () => {
    const { folder, config } = await initialised();
    const usb = join(folder, "usb");
    writeFileSync(config, readFileSync(config, "utf8").replace("replicas: {}", `replicas: { usb: { path: ${usb} } }`));
    const added = await stillpoint(["key", "add", "--new-key-file", join(folder, "second.key"), "--config", config]);
    expect(added.stdout).toContain("It opens usb too, after the next replication.");
    const second = (await keys(config))[1]?.id ?? "";
    const removed = await stillpoint(["key", "remove", second, "--config", config]);
    expect(removed.stdout).toContain("It may still open usb: remove it there too, with --location");
  });

  test("never overwrites a file", async () => {
    const { folder, config } = await initialised();
    const before = readFileSync(join(folder, "repository.key"));
    const { status, stderr } = await stillpoint([
      "key",
      "add",
      "--new-key-file",
      join(folder, "repository.key"),
      "--config",
      config,
    ]);
    expect(status).toBe(2);
    expect(stderr).toContain("it is there already");
    expect(readFileSync(join(folder, "repository.key"))).toEqual(before);
    expect(await keys(config)).toHaveLength(1);
  });

  test("a passphrase", async () => {
    const { folder, config } = await initialised();
    writeFileSync(join(folder, "p"), "correct horse\n");
    expect(
      (await stillpoint(["key", "add", "--new-passphrase-file", join(folder, "p"), "--config", config])).status,
    ).toBe(0);
    const repository = join(folder, "repository");
    expect(
      (await stillpoint(["list", "--repository", repository, "--passphrase-file", join(folder, "p")])).status,
    ).toBe(0);
  });

  test("an age recipient", async () => {
    const { config } = await initialised();
    const { status, stdout } = await stillpoint([
      "key",
      "add",
      "--new-age-recipient",
      recipient,
      "--json",
      "--config",
      config,
    ]);
    expect({ status, added: JSON.parse(stdout) }).toEqual({
      status: 0,
      added: { id: expect.any(String), type: "age" },
    });
  });

  test.each([
    [[]],
    [["--new-age-recipient", recipient, "--new-key-file", "x"]],
    [["--new-age-recipient", "age1nonsense"]],
  ])("wrong usage: %j", async (options) => {
    const { config } = await initialised();
    const { status, stderr } = await stillpoint(["key", "add", ...options, "--config", config]);
    expect(status).toBe(2);
    expect(stderr).toContain("Nothing was changed.");
    expect(await keys(config)).toHaveLength(1);
  });
});

describe("remove", () => {
  test("refuses the last key", async () => {
    const { config } = await initialised();
    const [only] = await keys(config);
    const { status, stderr } = await stillpoint(["key", "remove", only?.id ?? "", "--config", config]);
    expect(status).toBe(2);
    expect(stderr).toContain("it is the last one");
  });

  test("refuses the only one that the configuration opens with", async () => {
    const { config } = await initialised();
    await stillpoint(["key", "add", "--new-age-recipient", recipient, "--config", config]);
    const [own] = (await keys(config)).filter(({ type }) => type === "key-file");
    const { status, stderr } = await stillpoint(["key", "remove", own?.id ?? "", "--config", config]);
    expect(status).toBe(2);
    expect(stderr).toContain("that this command was opened with");
    expect(await keys(config)).toHaveLength(2);
  });

  test("a removed key opens no more; the others do", async () => {
    const { folder, config } = await initialised();
    const file = join(folder, "second.key");
    await stillpoint(["key", "add", "--new-key-file", file, "--label", "second", "--config", config]);
    const second = (await keys(config)).find(({ label }) => label === "second");
    expect((await stillpoint(["key", "remove", second?.id.slice(0, 6) ?? "", "--config", config])).status).toBe(0);
    const repository = join(folder, "repository");
    expect((await stillpoint(["list", "--repository", repository, "--key-file", file])).status).toBe(1);
    expect((await stillpoint(["list", "--config", config])).status).toBe(0);
  });

  test("one that there is not", async () => {
    const { config } = await initialised();
    expect((await stillpoint(["key", "remove", "f".repeat(16), "--config", config])).status).toBe(1);
  });
});

test("secrets are in no output", async () => {
  const { folder, config } = await initialised();
  const secret = readFileSync(join(folder, "repository.key"), "utf8").trim().split(":")[1] ?? "";
  cpSync(join(folder, "repository.key"), join(folder, "copy.key"));
  for (const args of [
    ["key", "list"],
    ["key", "list", "--json"],
    ["config", "check"],
    ["show", "latest"],
  ]) {
    const { stdout, stderr } = await stillpoint([...args, "--config", config], {
      environment: { STILLPOINT_DEBUG: "1" },
    });
    expect(stdout + stderr).not.toContain(secret);
  }
});
