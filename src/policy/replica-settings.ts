/** `replicas.NAME`: where a complete copy is kept, and what may be done there. */

import * as z from "zod";
import { bandwidth } from "./bandwidth-settings.ts";
import { exactlyOne, oneOf, path } from "./fields.ts";
import { objectLockMode, s3Place } from "./replica-s3.ts";
import { sftpPlace } from "./replica-sftp.ts";

const replicaKinds = ["path", "s3", "sftp"] as const;

export const replica = z
  .strictObject({
    path: path.optional().describe("Folder of the replica, such as a mounted disk or share."),
    s3: s3Place.optional(),
    sftp: sftpPlace.optional(),
    object_lock: objectLockMode,
    bandwidth: bandwidth.optional(),
    append_only: z
      .boolean()
      .default(false)
      .describe("This host's login can't delete there: another machine prunes and sweeps. Default: false."),
  })
  .superRefine(exactlyOne(replicaKinds))
  .superRefine((value, context) => {
    if (value.object_lock === "off" || value.s3 !== undefined) return;
    const message = "only buckets of S3 lock objects: `object_lock` needs `s3`";
    context.addIssue({ code: "custom", path: ["object_lock"], message });
  })
  .meta(oneOf(replicaKinds))
  .describe("A complete copy elsewhere, restorable with the key alone.");
