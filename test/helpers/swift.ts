/** An OpenStack Swift on loopback with its S3 interface: another engine than Ceph, with versions and without Object Lock. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { S3Store } from "./s3-store.ts";
import { testCertificate, testCertificateKey } from "./test-certificate.ts";

const server = join(import.meta.dirname, "swift-server.py");

export class Swift extends S3Store {
  /** As Swift's own accounts are called: ACCOUNT:USER. */
  readonly accessKey = "test:tester";
  /** By HTTPS, with the tests' own certificate. */
  secureEndpoint = "";
  /** The authorities by which that is trusted. */
  readonly caFile = join(this.folder, "ca.pem");
  #process: ChildProcess | undefined;

  static async start(): Promise<Swift> {
    const swift = new Swift("swift");
    try {
      await swift.#start();
    } catch (error) {
      await swift.stop();
      throw error;
    }
    return swift;
  }

  async #start(): Promise<void> {
    const certificate = join(this.folder, "server.pem");
    writeFileSync(certificate, testCertificate + testCertificateKey);
    writeFileSync(this.caFile, testCertificate);
    const settings = [this.folder, this.accessKey, this.secretKey, certificate];
    // A test run that is killed takes its Swift along.
    const command = ["--pdeathsig", "KILL", "/usr/bin/python3", server, ...settings];
    const child = spawn("setpriv", command, { stdio: ["ignore", "pipe", "pipe"] });
    this.#process = child;
    let lastWords = "";
    child.stderr.on("data", (text: Buffer) => (lastWords = (lastWords + text.toString()).slice(-500)));
    const [line] = (await Promise.race([
      once(createInterface(child.stdout), "line"),
      once(child, "exit").then(() => [undefined]),
    ])) as [string | undefined];
    if (line === undefined) throw new Error(`Swift ended: ${lastWords}`);
    const [port, securePort] = line.split(" ");
    this.endpoint = `http://127.0.0.1:${port}`;
    this.secureEndpoint = `https://127.0.0.1:${securePort}`;
  }

  protected async end(): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }
}
