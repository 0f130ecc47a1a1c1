/**
 * The whole disaster, by the page that somebody reads on that night (docs/disaster.md): a host with a directory, an image and a
 * running virtual machine is lost with everything that it had, and from a replica and a key all of it is back on another
 * machine, where the daemon goes on. The page's commands are run as they stand there.
 */
import { randomFillSync } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { Qmp } from "../../src/qemu/qmp.ts";
import { Ceph } from "../helpers/ceph.ts";
import { describeTree } from "../helpers/describe-tree.ts";
import { type CounterGuest, startCounterGuest } from "../helpers/guest/counter-guest.ts";
import { contradictions, readMemoryRecord, readSerialCount } from "../helpers/guest/counter-record.ts";
import { waitFor } from "../helpers/guest/qemu.ts";
import { type Outcome, SeparateMachine } from "../helpers/separate-machine.ts";
import { type Sshd, startSshd } from "../helpers/sshd.ts";
import { eventually } from "../helpers/running-daemon.ts";
import { Host, isRoot, project } from "./host.ts";

const memory = 32;
/** All that survives: a copy of the key, and what lets one in at the replicas. */
const safe = mkdtempSync(join(tmpdir(), "stillpoint-safe-"));
let ceph: Ceph;
let sshd: Sshd;

beforeAll(async () => {
  sshd = await startSshd();
  ceph = await Ceph.start();
  await ceph.makeBucket("recovery");
}, 300_000);
afterAll(async () => {
  await ceph.stop();
  await sshd.stop();
  rmSync(safe, { recursive: true, force: true });
});

interface Listed {
  readonly id: string;
  readonly source: string;
  readonly tags: readonly string[];
  readonly held: boolean;
}

interface Shown extends Listed {
  readonly digest: string;
  readonly previous: string | null;
}

/** What a command prints with --json, which must succeed. */
function json<T>(machine: SeparateMachine, command: string): T {
  return JSON.parse(succeed(machine.run(`${command} --json`)).stdout) as T;
}

function succeed(outcome: Outcome): Outcome {
  expect(outcome).toEqual({ ...outcome, status: 0 });
  return outcome;
}

function configuration(guest: CounterGuest): string {
  return `version: 1
repository: { path: /var/lib/stillpoint/repository, key_file: /etc/stillpoint/repository.key }
replicas:
  town: { s3: { endpoint: "${ceph.endpoint}", bucket: recovery, prefix: web1, credentials_file: /etc/stillpoint/s3 } }
  far:
    sftp:
      host: 127.0.0.1
      port: ${sshd.port}
      user: ${sshd.user}
      path: ${sshd.folder}/stillpoint
      identity_file: /etc/stillpoint/ssh_key
      known_hosts_file: /etc/stillpoint/known_hosts
sources:
  data: { directory: { path: /srv/data } }
  disk: { image: { path: /srv/disk.raw } }
  erp: { vm: { qmp: ${guest.qmp}, max_pause: 60s, spool: ${guest.folder}/spool } }
policies:
  nightly:
    sources: [data, disk, erp]
    schedule: { manual: true }
    keep: { last: 2 }
    replicate: { town: {}, far: {} }
daemon: { listen: "127.0.0.1:0" }
`;
}

/** Files that no replica has. */
function bringWayIn(machine: SeparateMachine): void {
  for (const name of ["s3", "ssh_key", "known_hosts"])
    cpSync(join(safe, name), machine.path(`/etc/stillpoint/${name}`));
}

/** Three nights of a host; then it is gone. What it had, and a count that the guest had reached before the third. */
async function liveAndDie(guest: CounterGuest) {
  const host = await SeparateMachine.start();
  bringWayIn(host);
  writeFileSync(host.path("/etc/stillpoint/stillpoint.yaml"), configuration(guest));
  writeSources(host);
  succeed(host.run("stillpoint init"));
  cpSync(host.path("/etc/stillpoint/repository.key"), join(safe, "KEYFILE"));
  let count = 0;
  for (const night of ["first", "second", "third"]) {
    writeFileSync(host.path("/srv/data/changing"), night);
    await guest.ticks(20);
    count = guest.count();
    succeed(host.run("stillpoint run nightly"));
    if (night !== "first") continue;
    const [first] = json<Listed[]>(host, "stillpoint list --source data");
    succeed(host.run(`stillpoint hold ${first?.id ?? ""} --reason audit && stillpoint tag ${first?.id ?? ""} before`));
  }
  const points = json<Listed[]>(host, "stillpoint list");
  const [data, disk] = [describeTree(host.path("/srv/data")), readFileSync(host.path("/srv/disk.raw"))];
  await guest.stop();
  await host.remove();
  return { points, data, disk, count };
}

function writeSources(machine: SeparateMachine): void {
  const host = new Host();
  host.writeSources();
  cpSync(host.path("data"), machine.path("/srv/data"), { recursive: true, verbatimSymlinks: true });
  host.remove();
  writeFileSync(machine.path("/srv/disk.raw"), randomFillSync(Buffer.alloc(5_000_000)));
}

/** The commands of the page, a block at a time, as they stand but for what is the reader's to replace. */
class Page {
  readonly #blocks: string[];

  constructor(replacements: Readonly<Record<string, string>>) {
    const page = readFileSync(join(project, "docs/disaster.md"), "utf8");
    this.#blocks = [...page.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block = ""]) => {
      return Object.entries(replacements).reduce((text, [from, to]) => text.replaceAll(from, to), block);
    });
  }

  get left(): readonly string[] {
    return this.#blocks;
  }

  /** The next block, which must begin like that. */
  take(beginning: string): string {
    const block = this.#blocks.shift() ?? "";
    if (!block.startsWith(beginning)) throw new Error(`the page goes on otherwise: ${block}`);
    return block;
  }
}

interface BootedMachine {
  readonly boot: string;
  readonly qmp: string;
  readonly dir: string;
  readonly serial: readonly string[];
}

/** It counts on, and its memory and disks, frozen, are of one instant. */
async function expectRuns(machine: SeparateMachine, booted: BootedMachine, since: number): Promise<void> {
  const serial = machine.path(booted.serial[0] ?? "");
  await waitFor("the booted machine to count on", () => readSerialCount(serial) > since);
  await using qmp = await Qmp.connect(machine.path(booted.qmp));
  await qmp.execute("stop");
  const copies = mkdtempSync(join(tmpdir(), "stillpoint-frozen-"));
  onTestFinished(() => rmSync(copies, { recursive: true, force: true }));
  const ram = join(copies, "memory");
  await qmp.execute("pmemsave", { val: 0, size: memory * 2 ** 20, filename: ram }, { timeout: 60_000 });
  const disks = [0, 1].map((number) => {
    const file = join(copies, `disk${number}`);
    succeed(machine.run(`qemu-img convert -U -O raw ${booted.dir}/disk${number}.qcow2 ${file}`));
    return file;
  });
  expect(readMemoryRecord(ram).count).toBeGreaterThan(since);
  expect(contradictions({ memory: ram, disks })).toEqual([]);
}

function summary(points: readonly Listed[]): unknown {
  return points.map(({ id, source, tags, held }) => ({ id, source, tags, held }));
}

function newestOf(points: readonly Listed[], source: string): Listed {
  const newest = points.findLast((point) => point.source === source);
  if (newest === undefined) throw new Error(`there is no point of ${source}`);
  return newest;
}

/** Whatever still runs there, so that a test that failed leaves nothing, and nobody writes where all is removed. */
const endAll = `
if [ -e "$HOME/pid" ] && kill "$(cat "$HOME/pid")"; then
  timeout 60 sh -c 'while [ -e "/proc/$0/exe" ]; do sleep 0.1; done' "$(cat "$HOME/pid")" || true
fi
for boot in $(ls /var/lib/stillpoint/state/boots || true); do stillpoint boot stop "$boot"; done
`;

describe.runIf(isRoot)("a host that is lost with all it had", () => {
  test("is back from a replica and the key, by the page for that night, and goes on", async () => {
    const folder = mkdtempSync(join(tmpdir(), "stillpoint-guest-"));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    ceph.writeCredentials(join(safe, "s3"));
    cpSync(sshd.identity, join(safe, "ssh_key"));
    cpSync(sshd.knownHosts, join(safe, "known_hosts"));
    const { points, data, disk, count } = await liveAndDie(await startCounterGuest({ folder, memory }));
    expect(points.map(({ source }) => source).toSorted()).toEqual("data data data disk disk erp erp".split(" "));

    const machine = await SeparateMachine.start();
    onTestFinished(() => void machine.run(endAll));
    bringWayIn(machine);
    cpSync(join(sshd.folder, "stillpoint"), machine.path("/mnt/usb/stillpoint"), { recursive: true });
    machine.program("systemctl", 'setsid stillpoint daemon >"$HOME/log" 2>&1 & echo $! >"$HOME/pid"\n');
    const page = new Page({
      KEYFILE: join(safe, "KEYFILE"),
      "https://s3.example.net": ceph.endpoint,
      "web1@backup.example.net/stillpoint": `${sshd.user}@127.0.0.1:${sshd.port}${sshd.folder}/stillpoint`,
    });

    succeed(machine.run(page.take("install ")));
    const town = page.take("export REPLICA='s3:");
    const far = page.take("export REPLICA='sftp:");
    const usb = page.take("export REPLICA=/mnt/");
    const list = page.take("stillpoint list ");
    for (const way of [town, far, usb]) {
      const { stdout } = succeed(machine.run(way + list));
      for (const { id } of points) expect(stdout).toContain(id.slice(0, 8));
    }

    const bucket = `'s3://recovery?endpoint=${ceph.endpoint}&credentials_file=/etc/stillpoint/s3'`;
    const server = `'${sshd.url(sshd.folder)}'`;
    for (const [place, name] of [
      [bucket, "web1"],
      [server, "stillpoint"],
    ] as const) {
      const fleet = `stillpoint list --fleet ${place} --key-file /etc/stillpoint/repository.key`;
      expect(json(machine, fleet)).toMatchObject([
        { name, points: [{ source: "data" }, { source: "disk" }, { source: "erp" }] },
      ]);
    }

    succeed(machine.run(town + page.take("stillpoint boot ")));
    const [booted] = json<BootedMachine[]>(machine, "stillpoint boot list");
    if (booted === undefined) throw new Error("no machine was booted");
    await expectRuns(machine, booted, count);

    succeed(machine.run(town + page.take("stillpoint restore latest --source data ")));
    expect(describeTree(machine.path("/srv/data"))).toEqual(data);

    const recovered = succeed(machine.run(town + page.take("stillpoint recover "))).stdout;
    expect(recovered).toContain("/var/lib/stillpoint/repository: 7 recovery points, ");
    expect(recovered.split("by hand:\n")[1]).toMatch(
      /^ {2}bring back the source disk: .*\n\nFirst make sure that \S+ is off: .*\nNext/,
    );
    expect(summary(json(machine, "stillpoint list"))).toEqual(summary(points));
    succeed(machine.run(page.take("stillpoint restore latest --source disk ")));
    expect(readFileSync(machine.path("/srv/disk.raw")).equals(disk)).toBe(true);

    const elsewhere = "--to /srv/other/repository --config /srv/other/stillpoint.yaml";
    const key = "--key-file /etc/stillpoint/repository.key";
    succeed(machine.run(`${far}stillpoint recover --repository "$REPLICA" ${key} ${elsewhere}`));
    expect(summary(json(machine, `stillpoint list --repository /srv/other/repository ${key}`))).toEqual(
      summary(points),
    );

    const successor = await startCounterGuest({ folder, memory });
    onTestFinished(async () => await successor.stop());
    const { stdout } = succeed(machine.run(page.take("stillpoint config check")));
    expect(page.left).toEqual([]);
    expect(stdout).toContain("no damage found");
    for (const replica of ["town", "far"]) expect(stdout).toContain(`${replica}: 3 recovery points sent, `);

    await expectGoesOn(machine, points);
    succeed(machine.run(`stillpoint boot stop ${booted.boot}`));
  }, 600_000);
});

/** The daemon runs; its points continue those of the lost host, its replicas lack nothing, and the rules hold. */
async function expectGoesOn(machine: SeparateMachine, before: readonly Listed[]): Promise<void> {
  await eventually(() => (json<{ daemon: unknown }>(machine, "stillpoint status").daemon === null ? undefined : true));
  const report = json<{ replicas: object[]; sources: object[] }>(machine, "stillpoint run nightly");
  expect(report).toMatchObject({
    outcome: "ok",
    replicas: [
      { replica: "town", points: 3, backlog: { points: 0 } },
      { replica: "far", points: 3, backlog: { points: 0 } },
    ],
  });
  expect(json(machine, "stillpoint replicate")).toMatchObject([
    { replica: "town", points: 0, bytes_sent: 0 },
    { replica: "far", points: 0, bytes_sent: 0 },
  ]);
  const after = json<Listed[]>(machine, "stillpoint list");
  expect(after.map(({ source }) => source).toSorted()).toEqual("data data data disk disk erp erp".split(" "));
  expect(after[0]).toMatchObject({ id: before[0]?.id, held: true, tags: ["before"] });
  for (const source of ["data", "disk", "erp"]) {
    const [first] = after.filter((point) => point.source === source && !point.held);
    const { previous } = json<Shown>(machine, `stillpoint show ${first?.id ?? ""}`);
    expect(previous?.slice(0, 32)).toBe(newestOf(before, source).id);
  }
  succeed(machine.run("stillpoint check --read-data"));
}

test("a bucket that isn't there is an error of its replica, and is never made", () => {
  const host = new Host();
  onTestFinished(() => host.remove());
  host.set();
  ceph.writeCredentials(host.path("s3-key"));
  const s3 = `{ endpoint: "${ceph.endpoint}", bucket: elsewhere, prefix: web1, credentials_file: s3-key }`;
  writeFileSync(host.config, readFileSync(host.config, "utf8").replace("{ path: usb }", `{ s3: ${s3} }`));
  const { status, stdout, stderr } = host.run("run", "all");
  expect(status).toBe(3);
  expect(stdout + stderr).toContain("there is no bucket elsewhere");
  expect(stdout + stderr).not.toContain(ceph.secretKey);
});
