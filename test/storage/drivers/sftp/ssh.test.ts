import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isSshFile, isSshHost, isSshUser } from "../../../../src/host/ssh-words.ts";
import { parseSftpUrl, sftpUrlOf } from "../../../../src/storage/drivers/sftp/sftp-url.ts";
import { sshCommand } from "../../../../src/storage/drivers/sftp/ssh-command.ts";
import { connectionError } from "../../../../src/storage/drivers/sftp/ssh-trouble.ts";
import { placeOf } from "../../../../src/storage/place-of.ts";
import type { SftpAddress } from "../../../../src/storage/storage.ts";

const plain: SftpAddress = {
  kind: "sftp",
  location: "far",
  host: "backup.example.net",
  port: undefined,
  user: undefined,
  path: "/stillpoint",
  identityFile: undefined,
  knownHostsFile: undefined,
  sshConfig: undefined,
};

describe("sftp:// URLs", () => {
  test.each<[string, Partial<SftpAddress>]>([
    ["sftp://backup.example.net/stillpoint", {}],
    ["sftp://web1@backup.example.net:2222/stillpoint/", { user: "web1", port: 2222 }],
    ["sftp://backup.example.net/~/a/b", { path: "a/b" }],
    ["sftp://backup.example.net/~", { path: "." }],
    ["sftp://backup.example.net", { path: "/" }],
    ["sftp://[2001:db8::7]/stillpoint", { host: "2001:db8::7" }],
    ["sftp://me%40corp@backup.example.net/with%20blank", { user: "me@corp", path: "/with blank" }],
    [
      "sftp://backup.example.net/stillpoint?identity_file=/k&known_hosts_file=/h&ssh_config=/c",
      { identityFile: "/k", knownHostsFile: "/h", sshConfig: "/c" },
    ],
  ])("%s", (text, expected) => {
    const address = parseSftpUrl(text);
    expect(address).toEqual({ ...plain, ...expected, location: sftpUrlOf(address) });
  });

  test.each([
    ["sftp://", "its host"],
    ["sftp://me:hunter2@host/path", "has a password"],
    ["sftp://-oProxyCommand=evil/path", "its host"],
    ["sftp://-l@host/path", "its user"],
    ["sftp://host:0/path", "its port"],
    ["sftp://host:99999/path", "its port"],
    ["sftp://host/a%0ab", "control characters"],
    ["sftp://host/%zz", "no code of a character"],
    ["sftp://host/a?password=hunter2", 'knows no "password"'],
    ["sftp://host/a?identity_file=/a&identity_file=/b", "identity_file twice"],
    ['sftp://host/a?identity_file=/a"b', "ssh can't take its identity_file"],
    ["sftp://host/a#b", "isn't sftp://"],
  ])("%s is refused, and no secret repeated", (text, message) => {
    expect(() => parseSftpUrl(text)).toThrow(message);
    expect(() => parseSftpUrl(text)).not.toThrow("hunter2");
  });

  test("an address becomes a URL and an address again", () => {
    const addresses = fc.record({
      host: fc.string().filter(isSshHost),
      user: fc.option(fc.string().filter(isSshUser), { nil: undefined }),
      port: fc.option(fc.integer({ min: 1, max: 65_535 }), { nil: undefined }),
      path: fc.constantFrom("/", "/a", "/a b/ü", "a/b", ".", "/a%41?#&c"),
    });
    fc.assert(
      fc.property(addresses, (given) => {
        const { host, user, port, path } = parseSftpUrl(placeOf({ ...plain, ...given }));
        expect({ host, user, port, path }).toEqual(given);
      }),
      { numRuns: 30 },
    );
  });
});

describe("ssh", () => {
  test("is called so that it asks nobody and trusts no stranger", () => {
    const command = sshCommand({
      ...plain,
      user: "web1",
      port: 22,
      identityFile: "/k",
      knownHostsFile: "/h h",
      sshConfig: "/c",
    });
    expect(command.slice(0, 3)).toEqual(["ssh", "-F", "/c"]);
    for (const option of [
      "BatchMode=yes",
      "StrictHostKeyChecking=yes",
      "ControlPath=none",
      "ClearAllForwardings=yes",
      "ForwardAgent=no",
      'IdentityFile="/k"',
      "IdentitiesOnly=yes",
      'UserKnownHostsFile="/h h"',
      "GlobalKnownHostsFile=/dev/null",
      "UpdateHostKeys=no",
    ]) {
      expect(command[command.indexOf(option) - 1]).toBe("-o");
    }
    expect(command.slice(-8)).toEqual(["-l", "web1", "-p", "22", "-s", "--", "backup.example.net", "sftp"]);
    expect(sshCommand(plain).join(" ")).not.toMatch(/ -[Flp] |IdentityFile|KnownHosts/);
  });

  test("gets no words that it would take for something else", () => {
    for (const host of ["-oX", "", "a b", "a/b", "a@b", "a\n", "$(x)"]) expect(isSshHost(host)).toBe(false);
    for (const user of ["-l", "", "a b", "a:b", "a\n"]) expect(isSshUser(user)).toBe(false);
    for (const file of ['/a"b', "/a%h", "/${HOME}", "/a\\b", "/a\n"]) expect(isSshFile(file)).toBe(false);
  });
});

describe("what the end of a connection means", () => {
  const far = { location: "far", url: "sftp://host/a", missingKey: undefined };

  test.each([
    ["Host key verification failed.", "storage_denied", false],
    [
      "No ED25519 host key is known for host and you have requested strict checking. / Host key verification failed.",
      "storage_denied",
      false,
    ],
    ["web1@host: Permission denied (publickey).", "storage_denied", false],
    ["subsystem request failed on channel 0", "storage_failed", false],
    ["/c: line 1: Bad configuration option: x", "storage_failed", false],
    ["ssh: connect to host host port 22: Connection refused", "storage_unreachable", true],
    ["ssh: Could not resolve hostname host: Temporary failure in name resolution", "storage_unreachable", true],
    ["", "storage_unreachable", true],
  ])("%s", (words, code, retryable) => {
    const end = { status: 255, how: "it ended with exit status 255", words };
    const error = connectionError(far, { kind: "ended", end, established: false });
    expect(error).toMatchObject({ code, retryable });
    expect(error.message).toContain(words === "" ? end.how : words.replace(/\.$/, ""));
    // Once it stood, whatever is said then, it may stand again.
    const later = connectionError(far, { kind: "ended", end, established: true });
    expect(later).toMatchObject({ code: "storage_unreachable", retryable: true });
  });

  test("a key that isn't there is named: ssh only says that nobody was let in", () => {
    const end = { status: 255, how: "it ended", words: "web1@host: Permission denied (publickey)." };
    const trouble = { kind: "ended", end, established: false } as const;
    expect(connectionError({ ...far, missingKey: "/etc/key" }, trouble).message).toContain(
      "Bring back the key /etc/key",
    );
    expect(connectionError(far, trouble).message).toContain("authorized_keys");
    const words = 'Load key "/etc/key": bad permissions / web1@host: Permission denied (publickey).';
    const open = connectionError(far, { ...trouble, end: { ...end, words } });
    expect(open.parts.next).toContain("chmod 600");
  });

  test("a place without another name is said once", () => {
    const end = { status: 255, how: "it ended", words: "" };
    const error = connectionError({ ...far, location: far.url }, { kind: "ended", end, established: false });
    expect(error.message.split(far.url)).toHaveLength(2);
  });
});
