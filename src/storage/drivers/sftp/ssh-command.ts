/** How the system's ssh is called. */

import type { SftpAddress } from "../../storage.ts";

/** In s: for the TCP connection and the server's first words. */
const connectTimeout = 20;
/** In s: how long the server's machine may be silent before ssh gives the connection up. */
const aliveInterval = 15;
const aliveCount = 4;

/**
 * What the administrator has set in ssh_config holds (jump hosts, agents, ciphers, the user), but for what would make ssh ask
 * somebody, trust a server that isn't known, or do more than this one connection.
 */
const fixedOptions = [
  "BatchMode=yes",
  "StrictHostKeyChecking=yes",
  "ControlMaster=no",
  "ControlPath=none",
  "ClearAllForwardings=yes",
  "ForwardAgent=no",
  "ForwardX11=no",
  "PermitLocalCommand=no",
  "RequestTTY=no",
  "EscapeChar=none",
  "LogLevel=ERROR",
  `ConnectTimeout=${connectTimeout}`,
  `ServerAliveInterval=${aliveInterval}`,
  `ServerAliveCountMax=${aliveCount}`,
];

/** Program and arguments. Never a secret: keys are named by their files, or are an agent's. */
export function sshCommand(address: SftpAddress): [string, ...string[]] {
  const { host, port, user, identityFile, knownHostsFile, sshConfig } = address;
  const options = [...fixedOptions];
  if (identityFile !== undefined) options.push(`IdentityFile="${identityFile}"`, "IdentitiesOnly=yes");
  if (knownHostsFile !== undefined)
    options.push(`UserKnownHostsFile="${knownHostsFile}"`, "GlobalKnownHostsFile=/dev/null", "UpdateHostKeys=no");
  return [
    "ssh",
    ...(sshConfig === undefined ? [] : ["-F", sshConfig]),
    ...options.flatMap((option) => ["-o", option]),
    ...(user === undefined ? [] : ["-l", user]),
    ...(port === undefined ? [] : ["-p", String(port)]),
    "-s",
    "--",
    host,
    "sftp",
  ];
}

/** Keeps the ssh of a jump host, which knows nothing of the options above, from asking in a window. */
export const sshEnvironment: Readonly<Record<string, string | undefined>> = {
  SSH_ASKPASS: undefined,
  SSH_ASKPASS_REQUIRE: "never",
};
