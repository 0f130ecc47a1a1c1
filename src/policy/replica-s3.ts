/** `replicas.NAME.s3`: a bucket of AWS S3, or of a store that speaks its language (Ceph, MinIO, Garage). */

import * as z from "zod";
import type { S3Place } from "./config.ts";
import { credential, path } from "./fields.ts";

const bucketHelp = "a bucket's name has 3 to 63 of a-z, 0-9, `.` and `-`, and begins and ends with a letter or a digit";
const endpointHelp = "expected the store's URL without a path, such as https://s3.example.net or http://127.0.0.1:7480";
const prefixHelp = "a prefix has parts of A-Z, a-z, 0-9 and `._-`, joined by `/`, none of them `.` or `..`";

const settings = z.strictObject({
  bucket: z
    .string()
    .regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, { error: bucketHelp })
    .describe("The bucket, which must be there already."),
  prefix: z
    .string()
    .regex(/^(?!(?:.*\/)?\.{1,2}(?:\/|$))(?:[A-Za-z0-9._-]+\/)*[A-Za-z0-9._-]*$/, { error: prefixHelp })
    .default("")
    .describe("What the names of all objects begin with, such as web1: one for each host. Default: nothing."),
  endpoint: z
    .string({ error: (issue) => (issue.input === undefined ? undefined : endpointHelp) })
    .regex(/^https?:\/\/[^\s/?#@]+\/?$/, { error: endpointHelp })
    .refine((text) => URL.canParse(text), { error: endpointHelp })
    .optional()
    .describe("The store's URL. Default: AWS S3 of the region."),
  region: z
    .string()
    .regex(/^[A-Za-z0-9-]{1,63}$/, { error: "a region's name has letters, digits and `-` only" })
    .optional()
    .describe("The region. Default with an endpoint: us-east-1, which most stores take."),
  path_style: z
    .boolean()
    .optional()
    .describe("Name the bucket in the path, not in the host's name. Default: true with an endpoint, else false."),
  credentials_file: path
    .optional()
    .describe("File with aws_access_key_id and aws_secret_access_key, as AWS's programs have it."),
  credentials_credential: credential
    .optional()
    .describe("Name of a systemd credential (LoadCredential=) with the same content."),
  ca_file: path
    .optional()
    .describe("PEM file with the authorities that sign the store's certificate, instead of the usual ones."),
});

export const s3Place = settings
  .superRefine((value, context) => {
    if (value.credentials_file !== undefined && value.credentials_credential !== undefined) {
      const message = "credentials_file and credentials_credential are here: one of them at most";
      context.addIssue({ code: "custom", path: ["credentials_credential"], message });
    }
    if (value.endpoint === undefined && value.region === undefined) {
      context.addIssue({ code: "custom", message: "without an endpoint this is AWS S3, which needs a `region`" });
    }
    if (value.ca_file !== undefined && value.endpoint?.startsWith("http:") === true) {
      const message = "an http endpoint shows no certificate: `ca_file` is for https";
      context.addIssue({ code: "custom", path: ["ca_file"], message });
    }
  })
  .describe(
    "In a bucket of AWS S3, or of a store that speaks its language. Without credentials: as AWS's programs find them.",
  );

export const objectLockMode = z
  .enum(["off", "governance", "compliance"])
  .default("off")
  .describe(
    "Lock objects, in an S3 bucket with Object Lock: nobody can shorten such a lock (compliance), or only who has a special right (governance).",
  );

/** Makes the place of what the file says; `resolve` makes an absolute path of a written one. */
export function resolveS3Place(
  file: z.output<typeof s3Place>,
  objectLock: z.output<typeof objectLockMode>,
  resolve: (written: string) => string,
): S3Place {
  const { bucket, prefix, endpoint, region = "us-east-1", path_style: pathStyle, ca_file: caFile } = file;
  return {
    kind: "s3",
    endpoint: endpoint?.replace(/\/$/, ""),
    region,
    bucket,
    prefix: prefix === "" || prefix.endsWith("/") ? prefix : `${prefix}/`,
    pathStyle: pathStyle ?? endpoint !== undefined,
    caFile: caFile === undefined ? undefined : resolve(caFile),
    credentials: credentialsOf(file, resolve),
    objectLock: objectLock === "off" ? undefined : objectLock,
  };
}

function credentialsOf(
  { credentials_file: file, credentials_credential: name }: z.output<typeof s3Place>,
  resolve: (written: string) => string,
): S3Place["credentials"] {
  if (file !== undefined) return { kind: "file", path: resolve(file) };
  return name === undefined ? { kind: "chain" } : { kind: "credential", name };
}
