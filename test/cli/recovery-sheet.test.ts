import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type RecoverySheet, sheetHtml, sheetText } from "../../src/cli/recovery-sheet.ts";
import { initialised, stillpoint, temporaryFolder } from "./harness.ts";
import { parsed, wordsOf } from "./parse-command.ts";

const key = "stillpoint-key-1:q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k=";

const sheet: RecoverySheet = {
  host: "host7",
  version: "1.2.3",
  made: Date.UTC(2026, 10, 22),
  repositoryId: "00112233445566778899aabbccddeeff",
  places: [
    { name: "primary", repository: "/var/lib/stillpoint/repository", remark: undefined },
    { name: "dc2", repository: "s3://recovery/host7?region=eu&credentials_file=CREDENTIALS", remark: "CREDENTIALS: …" },
  ],
  key: { id: "41c2d7aa", text: key },
  otherKey: "",
};

/** What the page's QR code says. */
function scanPage(page: string): string {
  const size = Number(/viewBox="0 0 (\d+) \d+"/.exec(page)?.[1]);
  const dark = new Set([...page.matchAll(/M(\d+) (\d+)h1v1h-1z/g)].map(([, x, y]) => `${x ?? ""} ${y ?? ""}`));
  const numbers = [...Array(size).keys()];
  return scan(numbers.map((y) => numbers.map((x) => !dark.has(`${x} ${y}`))));
}

/** What the QR code of the text says, on a terminal with a dark background or a light one. */
function scanText(text: string, background: "dark" | "light"): string {
  const lines = text.split("\n").filter((line) => /^[█▀▄ ]{20,}$/.test(line));
  const half = (line: string, printed: RegExp): boolean[] =>
    line.split("").map((character) => printed.test(character) === (background === "dark"));
  const modules = lines.flatMap((line) => [half(line, /[█▀]/), half(line, /[█▄]/)]);
  return scan(modules, ...(background === "light" ? ["-Stest-inverted"] : []));
}

/** As Debian's reader of bar codes sees it; `light` are lines of modules. */
function scan(light: readonly (readonly boolean[])[], ...options: readonly string[]): string {
  const scale = 6;
  const enlarged = <T>(list: readonly T[]): T[] => list.flatMap((one) => Array.from({ length: scale }, () => one));
  const lines = enlarged(light).map((line) => enlarged(line.map((isLight) => (isLight ? "255" : "0"))).join(" "));
  const image = join(temporaryFolder(), "code.pgm");
  writeFileSync(image, `P2\n${(light[0]?.length ?? 0) * scale} ${lines.length}\n255\n${lines.join("\n")}\n`);
  const { stdout, stderr, status } = spawnSync("zbarimg", ["--quiet", "--nodbus", "--raw", ...options, image], {
    encoding: "utf8",
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return stdout.trim();
}

describe("the sheet", () => {
  test("has the key as text and as a code that says the same", () => {
    expect(sheetText(sheet)).toContain(`\n  ${key}\n`);
    expect(scanText(sheetText(sheet), "dark")).toBe(key);
    expect(scanText(sheetText(sheet), "light")).toBe(key);
    expect(sheetHtml(sheet)).toContain(`<code>${key}</code>`);
    expect(scanPage(sheetHtml(sheet))).toBe(key);
  });

  test("names the places and the repository, and begins with a replica: the primary was on the host", () => {
    for (const text of [sheetText(sheet), sheetHtml(sheet).replaceAll("&amp;", "&")]) {
      for (const { repository } of sheet.places) expect(text).toContain(repository);
      expect(text).toContain(sheet.repositoryId);
      expect(text).toContain("export REPLICA='s3://recovery/host7?region=eu&credentials_file=CREDENTIALS'");
    }
  });

  test.each([sheet, { ...sheet, key: undefined }])("has commands that the command line takes", async (one) => {
    const lines = sheetText(one)
      .split("\n")
      .filter((line) => /^ {5}stillpoint /.test(line));
    const verbs = await Promise.all(lines.map(async (line) => await parsed(wordsOf(line) ?? [])));
    expect(verbs).toEqual(["list", "restore", "boot", "recover", "config check"]);
  });

  test("without a key file holds none, and has room for what opens it", () => {
    const text = sheetText({ ...sheet, key: undefined, otherKey: "The passphrase: ____" });
    expect(text).toContain("The passphrase: ____");
    expect(text).not.toMatch(/stillpoint-key|█/);
    expect(text).toContain("--passphrase-file FILE");
  });

  test("is one page of its own: nothing runs in it, and nothing comes from elsewhere", () => {
    const host = '<script>alert("1")</script>&';
    const page = sheetHtml({ ...sheet, host });
    expect(page).not.toMatch(/<script|src=|href=|url\(|@import/);
    expect(page).toContain("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;");
  });
});

describe("init --systemd", () => {
  test("writes it for this user only, and prints the key nowhere", async () => {
    const folder = temporaryFolder();
    const config = join(folder, "stillpoint.yaml");
    const args = ["init", "--systemd", "--config", config, "--repository", join(folder, "repository")];
    const { status, stdout, stderr } = await stillpoint(args);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toContain(`Print ${join(folder, "recovery-sheet.html")}, keep the paper elsewhere`);
    expect(stdout).toContain("systemctl enable --now stillpoint.target");
    const written = readFileSync(join(folder, "repository.key"), "utf8").trim();
    expect(stdout).not.toContain(written.slice(-40));
    for (const file of ["recovery-sheet.html", "recovery-sheet.txt", "repository.key", "stillpoint.yaml"]) {
      expect(statSync(join(folder, file)).mode & 0o777).toBe(0o600);
    }
    // With what the paper says, and nothing else of the host but the repository.
    const typed = join(temporaryFolder(), "typed.key");
    writeFileSync(typed, `${scanPage(readFileSync(join(folder, "recovery-sheet.html"), "utf8"))}\n`);
    const listed = ["list", "--repository", join(folder, "repository"), "--key-file", typed, "--json"];
    expect(await stillpoint(listed)).toEqual({ status: 0, stdout: "[]\n", stderr: "" });
    const ids = JSON.parse((await stillpoint(["key", "list", "--config", config, "--json"])).stdout) as {
      id: string;
    }[];
    const paper = readFileSync(join(folder, "recovery-sheet.txt"), "utf8");
    expect(paper).toContain(ids[0]?.id);
    expect(paper).toContain("there was no replica when this was made");
  });
});

describe("key sheet", () => {
  test("writes one again, names the replicas, and overwrites none", async () => {
    const { folder, config } = await initialised();
    const usb = join(folder, "usb");
    writeFileSync(config, readFileSync(config, "utf8").replace("replicas: {}", `replicas: { usb: { path: ${usb} } }`));
    const { status, stdout } = await stillpoint(["key", "sheet", "--config", config]);
    expect(status).toBe(0);
    expect(stdout).toContain("remove both files");
    const text = readFileSync(join(folder, "recovery-sheet.txt"), "utf8");
    expect(text).toContain(`export REPLICA='${usb}'`);
    expect(text).not.toContain("there was no replica");
    const again = await stillpoint(["key", "sheet", "--config", config]);
    expect(again.status).toBe(2);
    expect(again.stderr).toContain("it is there already");
    rmSync(join(folder, "recovery-sheet.txt"));
    expect((await stillpoint(["key", "sheet", join(folder, "elsewhere"), "--config", config])).status).toBe(0);
    expect(existsSync(join(folder, "elsewhere/recovery-sheet.html"))).toBe(true);
  });
});
