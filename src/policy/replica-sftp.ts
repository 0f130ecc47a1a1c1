/** `replicas.NAME.sftp`: a folder on an SFTP server. */

import * as z from "zod";
import { isSshFile, isSshHost, isSshUser } from "../host/ssh-words.ts";
import type { SftpPlace } from "./config.ts";
import { path } from "./fields.ts";

const sshFile = path.refine(isSshFile, { error: "ssh can't take a path with `\"`, `%`, `$` or `\\`" });

const settings = z.strictObject({
  host: z
    .string()
    .refine(isSshHost, { error: "expected a server's name or address, or a name that ssh_config knows" })
    .describe("The server, also by a name that only ssh_config knows."),
  port: z.int().min(1).max(65_535).optional().describe("Default: as ssh_config says, else 22."),
  user: z
    .string()
    .refine(isSshUser, { error: "expected a user's name, without a password" })
    .optional()
    .describe("Who to log in as. Default: as ssh_config says, else the user that Stillpoint runs as."),
  path: z
    .string()
    .min(1, { error: "a path can't be empty" })
    .refine((text) => !/\p{Cc}/u.test(text), { error: "a path can't contain control characters" })
    .refine((text) => !text.startsWith("~"), {
      error: "`~` isn't expanded: a relative path begins at the user's folder there",
    })
    .describe("The folder there. A relative path begins where the server puts the user."),
  identity_file: sshFile
    .optional()
    .describe("File with the private key to log in by, without a passphrase. Default: ssh's own, or an agent's."),
  known_hosts_file: sshFile
    .optional()
    .describe(
      "File with the server's key, and no other is trusted. Default: ssh's own files. An unknown server is refused.",
    ),
  ssh_config: path
    .optional()
    .describe("Configuration of ssh to read instead of the usual ones, with jump hosts and such."),
});

export const sftpPlace = settings.describe("A folder on a server of OpenSSH, reached by the system's ssh.");

/** Makes the place of what the file says; `resolve` makes an absolute path of a written one. */
export function resolveSftpPlace(file: z.output<typeof settings>, resolve: (written: string) => string): SftpPlace {
  const local = (written: string | undefined): string | undefined =>
    written === undefined ? undefined : resolve(written);
  return {
    kind: "sftp",
    host: file.host,
    port: file.port,
    user: file.user,
    path: file.path.replace(/(?<=.)\/+$/, ""),
    identityFile: local(file.identity_file),
    knownHostsFile: local(file.known_hosts_file),
    sshConfig: local(file.ssh_config),
  };
}
