/** A Ceph of one monitor, one OSD in memory and one S3 gateway on loopback: a real store, up in seconds. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { freePort } from "./free-port.ts";
import { S3Store } from "./s3-store.ts";

/** In ms; a busy machine takes several times what a quiet one does. */
const patience = 200_000;

export class Ceph extends S3Store {
  readonly accessKey = "stillpointtestkey";
  readonly #processes = new Set<ChildProcess>();
  #stopped = false;
  #restarts = 0;
  #lastWords = "";

  static async start(): Promise<Ceph> {
    const ceph = new Ceph("ceph");
    try {
      await ceph.#start();
    } catch (error) {
      await ceph.stop();
      throw error;
    }
    return ceph;
  }

  async #start(): Promise<void> {
    const [monitor, gateway] = [await freePort(), await freePort()];
    const id = randomUUID();
    const osd = randomUUID();
    const at = (name: string): string => join(this.folder, name);
    for (const name of ["mon", "osd", "run"]) mkdirSync(at(name));
    writeFileSync(at("ceph.conf"), configuration(this.folder, { id, monitor, gateway }));
    await this.#run("monmaptool", "--create", "--fsid", id, "--addv", "a", `[v1:127.0.0.1:${monitor}]`, at("monmap"));
    await this.#run("ceph-mon", ...this.#with, "--mkfs", "-i", "a", "--monmap", at("monmap"));
    this.#spawn("ceph-mon", "-f", "-i", "a");
    await this.#until(async () => await this.#try("ceph", ...this.#with, "osd", "new", osd, "0"));
    await this.#run("ceph-osd", ...this.#with, "-i", "0", "--mkfs", "--osd-uuid", osd);
    this.#spawn("ceph-osd", "-f", "-i", "0");
    // A first try that was stopped may have made the user.
    await this.#until(
      async () =>
        (await this.#try("radosgw-admin", ...this.#with, ...userOf(this, "create"))) ||
        (await this.#try("radosgw-admin", ...this.#with, ...userOf(this, "info"))),
    );
    this.#spawn("radosgw", "-f", "-n", "client.gateway");
    this.endpoint = `http://127.0.0.1:${gateway}`;
    await this.#until(
      async () =>
        await fetch(this.endpoint).then(
          (answer) => answer.ok,
          () => false,
        ),
    );
  }

  /** Another user, who may do nothing but what buckets' policies say. The secret is the one of all users here. */
  async makeUser(name: string): Promise<void> {
    const keys = ["--access-key", name, "--secret-key", this.secretKey];
    await this.#run("radosgw-admin", ...this.#with, "user", "create", "--uid", name, "--display-name", name, ...keys);
  }

  protected async end(): Promise<void> {
    this.#stopped = true;
    const running = [...this.#processes];
    const ended = Promise.all(running.map((child) => once(child, "exit")));
    for (const child of running) child.kill("SIGKILL");
    await ended;
  }

  get #with(): string[] {
    return ["-c", join(this.folder, "ceph.conf")];
  }

  /** Started again when it ends: on a busy machine an OSD gives up when its monitor is slow. */
  #spawn(program: string, ...args: readonly string[]): void {
    // A test run that is killed takes its Ceph along.
    const command = ["--pdeathsig", "KILL", program, ...args, ...this.#with];
    const child = spawn("setpriv", command, { stdio: ["ignore", "ignore", "pipe"] });
    this.#processes.add(child);
    child.stderr.on("data", (text: Buffer) => (this.#lastWords = `${program}: ${text.toString().slice(-500)}`));
    child.once("exit", () => {
      this.#processes.delete(child);
      if (!this.#stopped && this.#restarts++ < 10) this.#spawn(program, ...args);
    });
  }

  async #try(program: string, ...args: readonly string[]): Promise<boolean> {
    return await this.#run(program, ...args).then(
      () => true,
      (error: unknown) => {
        this.#lastWords = String(error);
        return false;
      },
    );
  }

  async #run(program: string, ...args: readonly string[]): Promise<void> {
    await promisify(execFile)(program, args, { timeout: patience / 4 });
  }

  async #until(holds: () => Promise<boolean>): Promise<void> {
    for (const end = Date.now() + patience; !(await holds()); await sleep(200)) {
      if (Date.now() > end) throw new Error(`Ceph doesn't come up; ${this.#lastWords}`);
    }
  }
}

function userOf({ accessKey, secretKey }: Ceph, verb: string): string[] {
  const keys = ["--display-name", "tests", "--access-key", accessKey, "--secret-key", secretKey];
  return ["user", verb, "--uid", "tests", ...(verb === "create" ? keys : [])];
}

function configuration(
  folder: string,
  { id, monitor, gateway }: { id: string; monitor: number; gateway: number },
): string {
  const settings = {
    fsid: id,
    "mon host": `[v1:127.0.0.1:${monitor}]`,
    "public addr": "127.0.0.1",
    "auth cluster required": "none",
    "auth service required": "none",
    "auth client required": "none",
    "ms bind msgr2": "false",
    "osd pool default size": "1",
    "osd pool default min size": "1",
    "osd pool default pg num": "4",
    "osd crush chooseleaf type": "0",
    "osd objectstore": "memstore",
    "memstore device bytes": "4294967296",
    "mon allow pool size one": "true",
    "mon data": `${folder}/mon`,
    "osd data": `${folder}/osd`,
    "run dir": `${folder}/run`,
    "admin socket": `${folder}/run/$name.asok`,
    "pid file": "",
    "log file": "/dev/null",
    "mon cluster log file": "/dev/null",
    "rgw frontends": `beast endpoint=127.0.0.1:${gateway}`,
    "rgw data": `${folder}/run`,
    "rgw multipart min part size": "1",
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`);
  return `[global]\n${lines.join("\n")}\n`;
}
