/** The server of docs/offsite.md, typed as it stands: its users, folders and keys; a host that adds, and another machine that prunes. */
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { waitFor } from "../helpers/guest/qemu.ts";
import { freePort } from "../helpers/free-port.ts";
import { SeparateMachine } from "../helpers/separate-machine.ts";
import { runProgram } from "../helpers/sftp.ts";
import { Host, isRoot, project } from "./host.ts";

/** The block of the manual that names a file of tests. */
function documented(file: string): string {
  const manual = readFileSync(join(project, "docs/offsite.md"), "utf8");
  const [, block = ""] = new RegExp(`<!-- test/e2e/${file}[^\\n]*\\n\`\`\`(?:sh)?\\n([^]*?)\`\`\``).exec(manual) ?? [];
  expect(block).toContain("web1-keeper");
  return block;
}

test.skipIf(!isRoot)(
  "a host adds, and the machine that has the keeper's login prunes and sweeps",
  async () => {
    const server = await SeparateMachine.start();
    const [host, keeper] = [new Host(), new Host()];
    onTestFinished(() => [host, keeper].forEach((one) => one.remove()));
    host.set({ replicas: ["far"] });
    const port = await freePort();
    runProgram("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", host.path("server"));
    const serverKey = readFileSync(host.path("server.pub"), "utf8");
    const configuration = [
      `ListenAddress 127.0.0.1:${port}`,
      `HostKey ${host.path("server")}`,
      "PidFile /srv/sshd.pid",
      "UsePAM no",
      "Subsystem sftp internal-sftp",
      documented("sftp-chroot.test.ts"),
    ];
    writeFileSync(server.path("/etc/ssh/sshd_config"), configuration.join("\n"));
    for (const [one, name] of [
      [host, "web1"],
      [keeper, "keeper"],
    ] as const) {
      runProgram("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", one.path("ssh_key"));
      writeFileSync(one.path("known_hosts"), `[127.0.0.1]:${port} ${serverKey}`);
      copyFileSync(one.path("ssh_key.pub"), server.path(`/srv/${name}.pub`));
    }
    const typed = server.run(`mkdir -p /run/sshd; cd /srv; ${documented("sftp-server.test.ts")}/usr/sbin/sshd`);
    expect(typed).toMatchObject({ status: 0 });
    const pid = server.path("/srv/sshd.pid");
    onTestFinished(() => void process.kill(Number(readFileSync(pid, "utf8"))));
    await waitFor("sshd", () => server.run("cat /srv/sshd.pid").status === 0);

    const text = readFileSync(host.config, "utf8").replace("keep: { last: 10 }", "keep: { last: 3 }");
    const place = (user: string): string =>
      `sftp: { host: 127.0.0.1, port: ${port}, user: ${user}, path: /replica, identity_file: ssh_key, known_hosts_file: known_hosts }`;
    writeFileSync(host.config, text.replace("path: far", `${place("web1")}, append_only: true`));
    copyFileSync(host.key, keeper.key);
    writeFileSync(keeper.config, text.replace("path: far", place("web1-keeper")));

    for (let n = 0; n < 4; n++) {
      writeFileSync(host.path("data/hello.txt"), `hello ${String(n)}\n`);
      expect(host.run("run", "all")).toMatchObject({ status: 0, stderr: "" });
    }
    expect(host.run("prune", "--location", "far").stdout).toContain("FAILED");
    const pruned = keeper.run("prune", "--location", "far");
    expect(pruned).toMatchObject({ status: 0, stderr: "" });
    expect(pruned.stdout.match(/3 recovery points kept, 1 forgotten/g)).toHaveLength(3);
    expect(keeper.run("sweep", "--location", "far")).toMatchObject({ status: 0 });
    // What the keeper has written can be read by the host, and what it has forgotten hasn't been stolen.
    expect(host.json("check", "--location", "far", "--read-data")).toMatchObject({ findings: [] });
    expect(host.run("run", "all")).toMatchObject({ status: 0, stderr: "" });
  },
  300_000,
);
