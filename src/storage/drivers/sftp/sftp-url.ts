/**
 * A place on an SFTP server as a URL: `sftp://USER@HOST:PORT/PATH`, with `?identity_file=PATH`, `known_hosts_file=PATH` and
 * `ssh_config=PATH`, which mean what they do in the configuration. A path that begins with `/~/` is relative to where the
 * server puts the user.
 */

import * as path from "node:path";
import { StillpointError } from "../../../errors.ts";
import { isSshFile, isSshHost, isSshUser } from "../../../host/ssh-words.ts";
import { readSettings } from "../../url-settings.ts";
import type { SftpAddress } from "../../storage.ts";

const settings = ["identity_file", "known_hosts_file", "ssh_config"] as const;
type Setting = (typeof settings)[number];

/** The URL without what only says how to get in: where it is, for people, and to tell one place from another. */
export function sftpUrlOf({ user, host, port, path: folder }: SftpAddress): string {
  const login = user === undefined ? "" : `${encodeURIComponent(user)}@`;
  const server = host.includes(":") ? `[${host}]` : host;
  const place = folder.startsWith("/") ? folder : `/~/${folder}`;
  return `sftp://${login}${server}${port === undefined ? "" : `:${port}`}${encodeURI(place).replace(/[?#]/g, encodeURIComponent)}`;
}

/**
 * The address that a URL gives. Its location is the URL as `sftpUrlOf` writes it.
 *
 * @throws StillpointError `usage`
 */
export function parseSftpUrl(text: string): SftpAddress {
  const parts = /^sftp:\/\/(?:([^@/?#]*)@)?(\[[^\]]*\]|[^:/?#[\]]*)(?::(\d{1,5}))?(\/[^?#]*)?(?:\?([^#]*))?$/.exec(
    text,
  );
  if (parts === null) throw unusable("it isn't sftp://USER@HOST:PORT/PATH");
  const [, login, server = "", port, written = "/", query = ""] = parts;
  if (login?.includes(":") === true)
    throw unusable("it has a password, which other users of this machine could read; log in by a key");
  const given = parseFiles(query);
  const address = {
    kind: "sftp",
    location: "",
    host: server.replace(/^\[(.*)\]$/, "$1"),
    port: port === undefined ? undefined : Number(port),
    user: login === undefined ? undefined : decode(login),
    path: parsePath(decode(written)),
    identityFile: given.get("identity_file"),
    knownHostsFile: given.get("known_hosts_file"),
    sshConfig: given.get("ssh_config"),
  } as const;
  if (!isSshHost(address.host)) throw unusable("its host isn't the name or address of a server");
  if (address.port === 0 || (address.port ?? 0) > 65_535) throw unusable("its port isn't one");
  if (address.user !== undefined && !isSshUser(address.user)) throw unusable("its user isn't the name of one");
  return { ...address, location: sftpUrlOf(address) };
}

function parsePath(written: string): string {
  const folder = written.replace(/(?<=.)\/+$/, "");
  if (/\p{Cc}/u.test(folder)) throw unusable("its path has control characters");
  if (folder === "/~") return ".";
  return folder.startsWith("/~/") ? folder.slice(3) : folder;
}

/** All of them name files. */
function parseFiles(query: string): Map<Setting, string> {
  const given = readSettings(query, settings, unusable);
  for (const [setting, value] of given) {
    const file = path.resolve(value);
    if (value === "" || !isSshFile(file)) throw unusable(`ssh can't take its ${setting}`);
    given.set(setting, file);
  }
  return given;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw unusable("it has a `%` that is no code of a character");
  }
}

function unusable(why: string): StillpointError {
  return new StillpointError("usage", {
    what: `Cannot use this sftp:// URL as a repository: ${why}`,
    safe: "Nothing was changed.",
    next: "docs/offsite.md, section SFTP, has examples.",
  });
}
