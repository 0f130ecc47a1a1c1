/** Damage here is mended from a replica far away, and damage there from here: by S3 and by SFTP. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { parseSftpUrl } from "../../src/storage/drivers/sftp/sftp-url.ts";
import { parseS3Url } from "../../src/storage/drivers/s3/s3-url.ts";
import { openStorage } from "../../src/storage/open.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { Ceph } from "../helpers/ceph.ts";
import { collect } from "../helpers/collect.ts";
import { type Sshd, startSshd } from "../helpers/sshd.ts";
import { Host } from "./host.ts";

interface Far {
  /** What the configuration says of the replica. */
  readonly place: string;
  readonly storage: Storage;
}

let ceph: Ceph;
let sshd: Sshd;

beforeAll(async () => {
  [ceph, sshd] = await Promise.all([Ceph.start(), startSshd()]);
  await ceph.makeBucket("recovery");
}, 300_000);
afterAll(async () => {
  await Promise.all([ceph.stop(), sshd.stop()]);
});

const places = {
  s3: (): Far => {
    const credentials = ceph.writeCredentials();
    const url = `s3://recovery/web1?endpoint=${ceph.endpoint}&credentials_file=${credentials}`;
    return {
      place: `s3: { endpoint: "${ceph.endpoint}", bucket: recovery, prefix: web1, credentials_file: ${credentials} }`,
      storage: openStorage(parseS3Url(url)),
    };
  },
  sftp: (): Far => {
    const path = join(sshd.folder, "web1");
    const keys = `identity_file: ${sshd.identity}, known_hosts_file: ${sshd.knownHosts}`;
    return {
      place: `sftp: { host: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, path: ${path}, ${keys} }`,
      storage: openStorage(parseSftpUrl(sshd.url(path))),
    };
  },
};

function hostWith(place: string): Host {
  const host = new Host();
  onTestFinished(() => host.remove());
  host.set({ replicas: ["far"] });
  const text = readFileSync(host.config, "utf8");
  writeFileSync(host.config, text.replace("far: { path: far }", `far: { ${place} }`));
  for (let n = 0; n < 2; n++) {
    writeFileSync(host.path("data/hello.txt"), `hello ${n}\n`);
    expect(host.run("run", "all")).toMatchObject({ status: 0, stderr: "" });
  }
  return host;
}

/** One object of each kind is missing, another is rubbish: a pack, an index, a manifest. */
const kindsOfObjects = ["packs/", "index/", "points/"] as const;

describe.each(["s3", "sftp"] as const)("with a replica by %s", (kind) => {
  test("damage at either end is mended from the other", async () => {
    const { place, storage } = places[kind]();
    const host = hostWith(place);
    const clean = (location: string): void =>
      expect(host.json("check", "--read-data", "--location", location)).toMatchObject({ findings: [] });

    const here = openStorage({ kind: "fs", location: "primary", path: host.path("repository") });
    for (const [location, damaged] of [
      ["primary", here],
      ["far", storage],
    ] as const) {
      for (const prefix of kindsOfObjects) {
        const [gone, spoilt] = await collect(damaged.list(prefix));
        await damaged.delete(gone?.name ?? "");
        if (spoilt !== undefined) await damaged.put(spoilt.name, [Buffer.alloc(spoilt.size, "rubbish")]);
      }
      const found = host.run("check", "--location", location);
      expect([location, found.status]).toEqual([location, 4]);
      const repaired = host.run("repair", "--location", location, "--quiet");
      expect([location, repaired.status, repaired.stderr]).toEqual([location, 0, ""]);
      clean(location);
    }
    expect(
      host.run("restore", "latest", "--source", "data", "--to", host.path("back"), "--location", "far").status,
    ).toBe(0);
    expect(readFileSync(host.path("back/hello.txt"), "utf8")).toBe("hello 1\n");
  });
});
