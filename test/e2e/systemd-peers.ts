/** What a service meets on its machine: a server to replicate to, and a virtual machine to capture. */
import * as fs from "node:fs";
import { bootSector } from "../helpers/guest/counter-guest.ts";
import { defaultSettings, readSerialCount } from "../helpers/guest/counter-record.ts";
import { eventually } from "../helpers/running-daemon.ts";
import type { SystemdMachine } from "./systemd-machine.ts";

/** Lets the machine's own sshd in, as docs/offsite.md says, and by the files of ssh itself, through a jump host. */
export async function prepareSftp(machine: SystemdMachine): Promise<string> {
  const keys = "identity_file: /etc/stillpoint/ssh_key, known_hosts_file: /etc/stillpoint/known_hosts";
  machine.write(
    "root/.ssh/config",
    `Host vault
  ProxyJump gateway
Host vault gateway
  HostName 127.0.0.1
  User web1
`,
  );
  await machine.must(
    "sh",
    "-ec",
    `useradd --create-home web1
    install -d -m 700 -o web1 /srv/replicas /home/web1/.ssh
    ssh-keygen -q -t ed25519 -N '' -f /etc/stillpoint/ssh_key
    install -m 600 -o web1 /etc/stillpoint/ssh_key.pub /home/web1/.ssh/authorized_keys
    ssh-keyscan 127.0.0.1 >/etc/stillpoint/known_hosts
    chmod 700 /root/.ssh
    cp /etc/stillpoint/ssh_key /root/.ssh/id_ed25519
    cp /etc/stillpoint/known_hosts /root/.ssh/known_hosts`,
  );
  return `replicas:
  far: { sftp: { host: 127.0.0.1, user: web1, path: /srv/replicas/far, ${keys} } }
  vault: { sftp: { host: vault, path: /srv/replicas/vault } }
`;
}

/** A running virtual machine; `qmp` is the path of its socket for programs outside of the container. */
export interface ContainedGuest {
  readonly qmp: string;
  /** The last count that it has printed. */
  count(): number;
  /** Waits until it has counted on. */
  goesOn(): Promise<void>;
}

/** Starts the counter guest (counter.S) on the machine's own QEMU, which runs as a user of its own. */
export async function startContainedGuest(machine: SystemdMachine): Promise<ContainedGuest> {
  const disk = machine.path("srv/guest/disk.raw");
  fs.mkdirSync(machine.path("srv/guest"));
  fs.writeFileSync(disk, bootSector(defaultSettings, 100, 1));
  fs.truncateSync(disk, 16 * 1024 * 1024);
  await machine.must("useradd", "--system", "guest");
  await machine.must("chown", "-R", "guest:", "/srv/guest");
  // Without the capability it may not save its memory while it runs (docs/vm.md, "Rights").
  const unit = ["--unit=guest", "--property=User=guest", "--property=AmbientCapabilities=CAP_SYS_PTRACE"];
  const qemu = ["qemu-system-x86_64", "-accel", "tcg", "-display", "none", "-nodefaults", "-m", "64"];
  const sockets = ["-qmp", "unix:/srv/guest/qmp,server=on,wait=off", "-serial", "file:/srv/guest/serial"];
  const drive = ["-drive", "if=virtio,id=root,format=raw,file=/srv/guest/disk.raw"];
  await machine.must("systemd-run", ...unit, ...qemu, ...sockets, ...drive);
  const count = (): number => readSerialCount(machine.path("srv/guest/serial"));
  const goesOn = async (): Promise<void> => {
    const target = count() + 5;
    await eventually(() => count() >= target || undefined);
  };
  await goesOn();
  return { qmp: machine.path("srv/guest/qmp"), count, goesOn };
}
