import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { initialised, stillpoint, temporaryFolder } from "./harness.ts";

describe("init in an empty place", () => {
  test("makes configuration, key and repository, and says loudly to keep the key elsewhere", async () => {
    const folder = join(temporaryFolder(), "new/folder");
    const config = join(folder, "stillpoint.yaml");
    const { status, stdout } = await stillpoint([
      "init",
      "--config",
      config,
      "--repository",
      join(folder, "repository"),
    ]);
    expect(status).toBe(0);
    expect(stdout).toContain(`KEEP A COPY OF ${join(folder, "repository.key")} AWAY FROM THIS MACHINE`);
    expect(statSync(join(folder, "repository.key")).mode & 0o777).toBe(0o600);
    expect((await stillpoint(["list", "--config", config, "--json"])).stdout).toBe("[]\n");
    const checked = await stillpoint(["config", "check", config]);
    expect(checked).toMatchObject({ status: 0, stderr: "" });
    writeFileSync(config, readFileSync(config, "utf8").replace("path: /etc ", "path: /ect "));
    const warned = await stillpoint(["config", "check", config]);
    expect(warned).toMatchObject({
      status: 0,
      stderr: expect.stringContaining("source etc isn't on this machine: there is no /ect"),
    });
    // What an editor looks for by the first line of the file.
    const [, schema = ""] = /^# yaml-language-server: \$schema=(\S+)\n/.exec(readFileSync(config, "utf8")) ?? [];
    expect(readFileSync(join(folder, schema), "utf8")).toBe((await stillpoint(["config", "schema"])).stdout);
  });

  test("JSON tells each step", async () => {
    const folder = temporaryFolder();
    const config = join(folder, "c.yaml");
    const { stdout } = await stillpoint(["init", "--config", config, "--repository", join(folder, "r"), "--json"]);
    expect(JSON.parse(stdout)).toEqual({
      repository: expect.stringMatching(/^[0-9a-f]{32}$/),
      steps: [
        { what: "config", place: config, made: true },
        { what: "schema", place: join(folder, "stillpoint.schema.json"), made: true },
        { what: "key", place: join(folder, "repository.key"), made: true },
        { what: "repository", place: join(folder, "r"), made: true },
      ],
    });
  });

  test("where nothing may be written, it says so and leaves nothing", async () => {
    const file = join(temporaryFolder(), "file");
    writeFileSync(file, "");
    const { status, stderr } = await stillpoint(["init", "--config", join(file, "stillpoint.yaml")]);
    expect(status).toBe(1);
    expect(stderr).toContain(`Cannot make ${join(file, "stillpoint.yaml")}`);
  });
});

describe("init again", () => {
  test("with nothing to do says so, and changes nothing", async () => {
    const { folder, config } = await initialised();
    const before = [config, join(folder, "repository.key"), join(folder, "repository/format")].map((file) =>
      readFileSync(file),
    );
    const { status, stdout } = await stillpoint(["init", "--config", config]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^there {3}repository .*\n\nEverything is there, and nothing was changed\. .*\n$/m);
    const { stdout: json } = await stillpoint(["init", "--config", config, "--json"]);
    expect(JSON.parse(json)).toMatchObject({ steps: [{ made: false }, { made: false }, { made: false }] });
    expect(
      [config, join(folder, "repository.key"), join(folder, "repository/format")].map((file) => readFileSync(file)),
    ).toEqual(before);
  });

  test("refuses another place for the repository than the configuration says", async () => {
    const { folder, config } = await initialised();
    const other = join(folder, "other");
    const { status, stderr } = await stillpoint(["init", "--config", config, "--repository", other]);
    expect(status).toBe(2);
    expect(stderr).toContain(`${config} is there already, and says ${join(folder, "repository")}`);
    expect(existsSync(other)).toBe(false);
  });

  test("makes a replica that was added to the configuration", async () => {
    const { folder, config } = await initialised();
    const usb = join(folder, "usb");
    writeFileSync(config, readFileSync(config, "utf8").replace("replicas: {}", `replicas: { usb: { path: ${usb} } }`));
    const { status, stdout } = await stillpoint(["init", "--config", config, "--json"]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      steps: [
        { made: false },
        { made: false },
        { made: false },
        { what: "replica", name: "usb", place: usb, made: true },
      ],
    });
    expect((await stillpoint(["list", "--config", config, "--location", "usb"])).status).toBe(0);
  });

  test("makes no second repository for a host whose replica has the first", async () => {
    const { folder, config } = await initialised();
    const usb = join(folder, "usb");
    writeFileSync(config, readFileSync(config, "utf8").replace("replicas: {}", `replicas: { usb: { path: ${usb} } }`));
    const made = await stillpoint(["init", "--config", config]);
    expect(made).toMatchObject({ status: 0, stdout: expect.stringContaining("Print a new recovery sheet") });
    rmSync(join(folder, "repository"), { recursive: true });
    const { status, stderr } = await stillpoint(["init", "--config", config]);
    expect(status).toBe(1);
    expect(stderr).toContain("usb, named as its replica, has one already");
    expect(stderr).toContain(`stillpoint recover --repository '${usb}'`);
    expect(existsSync(join(folder, "repository"))).toBe(false);
  });

  test("a replica whose disk isn't mounted is partly done, exit status 3", async () => {
    const { folder, config } = await initialised();
    const usb = join(folder, "mnt/usb/host");
    appendFileSync(config, "");
    writeFileSync(config, readFileSync(config, "utf8").replace("replicas: {}", `replicas: { usb: { path: ${usb} } }`));
    const { status, stdout } = await stillpoint(["init", "--config", config]);
    expect(status).toBe(3);
    expect(stdout).toMatch(/^failed {2}replica usb: .*Mount the disk/m);
    expect(existsSync(join(folder, "mnt"))).toBe(false);
  });

  test("never makes a key for a repository that is there: it would open nothing", async () => {
    const { folder, config } = await initialised();
    rmSync(join(folder, "repository.key"));
    const { status, stderr } = await stillpoint(["init", "--config", config]);
    expect(status).toBe(1);
    expect(stderr).toContain("Bring it back from the copy that you keep elsewhere");
    expect(existsSync(join(folder, "repository.key"))).toBe(false);
  });

  test("after one that was cut off between key and repository, goes on with that key", async () => {
    const { folder, config } = await initialised();
    const key = readFileSync(join(folder, "repository.key"));
    rmSync(join(folder, "repository"), { recursive: true });
    expect((await stillpoint(["init", "--config", config])).status).toBe(0);
    expect(readFileSync(join(folder, "repository.key"))).toEqual(key);
    expect((await stillpoint(["list", "--config", config])).status).toBe(0);
  });

  test("leaves a folder alone that holds something else", async () => {
    const { folder, config } = await initialised();
    rmSync(join(folder, "repository/format"));
    mkdirSync(join(folder, "repository/points"));
    writeFileSync(join(folder, "repository/points/precious"), "x");
    rmSync(join(folder, "repository.key"));
    const { status, stderr } = await stillpoint(["init", "--config", config]);
    expect(status).toBe(1);
    expect(stderr).toContain("holds points/precious");
    expect(existsSync(join(folder, "repository.key"))).toBe(false);
  });
});

test("init with a passphrase opens with it", async () => {
  const folder = temporaryFolder();
  const config = join(folder, "stillpoint.yaml");
  await stillpoint(["init", "--config", config, "--repository", join(folder, "unused")]);
  const text = readFileSync(config, "utf8")
    .replace(/ {2}key_file: .*/, "  passphrase_file: passphrase")
    .replace(/ {2}path: .*/, "  path: other");
  writeFileSync(config, text);
  expect((await stillpoint(["init", "--config", config])).stderr).toContain("Cannot read the key in");
  writeFileSync(join(folder, "passphrase"), "correct horse\n");
  expect((await stillpoint(["init", "--config", config])).status).toBe(0);
  expect((await stillpoint(["list", "--config", config])).status).toBe(0);
});
