import { existsSync } from "node:fs";
import { systemClock } from "../../../host/clock.ts";
import { openProgramPipe } from "../../../host/program-pipe.ts";
import type { SftpAddress } from "../../storage.ts";
import { SftpClient } from "./client.ts";
import { SftpConnection, type SftpConnectionOptions } from "./connection.ts";
import { sftpUrlOf } from "./sftp-url.ts";
import { sshCommand, sshEnvironment } from "./ssh-command.ts";
import { connectionError } from "./ssh-trouble.ts";

/**
 * Connects to the server of an address by the system's ssh.
 *
 * @throws StillpointError `storage_unreachable`, `storage_denied`, `storage_failed`
 */
export async function connectBySsh(
  address: SftpAddress,
  { clock = systemClock, moved }: Partial<Pick<SftpConnectionOptions, "clock" | "moved">> = {},
): Promise<SftpClient> {
  const { location, identityFile } = address;
  const connection = new SftpConnection({
    pipe: openProgramPipe(sshCommand(address), sshEnvironment),
    clock,
    moved,
    explain: (trouble) => {
      const missingKey = identityFile === undefined || existsSync(identityFile) ? undefined : identityFile;
      return connectionError({ location, url: sftpUrlOf(address), missingKey }, trouble);
    },
  });
  return await SftpClient.greet(connection);
}
