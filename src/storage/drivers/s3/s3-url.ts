/**
 * A place in S3 as a URL: `s3://BUCKET/PREFIX?endpoint=URL&region=NAME`, further `path_style=true|false`,
 * `credentials_file=PATH`, `credentials_credential=NAME`, `ca_file=PATH` and `object_lock=MODE`, which mean what they do in the
 * configuration.
 */

import * as path from "node:path";
import { StillpointError } from "../../../errors.ts";
import { isObjectName } from "../../names.ts";
import type { LockMode } from "../../object-locks.ts";
import { readSettings } from "../../url-settings.ts";
import type { S3Address, S3Credentials } from "../../storage.ts";

const settings = [
  "endpoint",
  "region",
  "path_style",
  "credentials_file",
  "credentials_credential",
  "ca_file",
  "object_lock",
] as const;
type Setting = (typeof settings)[number];

/** The URL without what only says how to get in: where it is, for people, and to tell one place from another. */
export function s3UrlOf({ bucket, prefix, endpoint, region }: S3Address): string {
  const query = endpoint === undefined ? `region=${region}` : `endpoint=${endpoint}&region=${region}`;
  return `s3://${bucket}/${prefix.replace(/\/$/, "")}?${query}`;
}

/**
 * The address that a URL gives. Its location is the URL as `s3UrlOf` writes it.
 *
 * @throws StillpointError `usage`
 */
export function parseS3Url(text: string): S3Address {
  const parts = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/([^?#]*))?(?:\?([^#]*))?$/.exec(text);
  if (parts === null) throw unusable("it isn't s3://BUCKET/PREFIX?endpoint=URL&region=NAME");
  const [, bucket = "", written = "", query = ""] = parts;
  const given = readSettings(query, settings, unusable);
  const endpoint = given.get("endpoint")?.replace(/\/$/, "");
  if (endpoint !== undefined && !(/^https?:\/\/[^\s/?#@]+$/.test(endpoint) && URL.canParse(endpoint)))
    throw unusable("its endpoint isn't the URL of a store, such as https://s3.example.net");
  const region = given.get("region");
  if (endpoint === undefined && region === undefined)
    throw unusable("without an endpoint it is in AWS S3, and needs a region");
  const caFile = given.get("ca_file");
  const address = {
    kind: "s3",
    location: "",
    endpoint,
    region: region ?? "us-east-1",
    bucket,
    prefix: parsePrefix(written),
    pathStyle: parseFlag(given.get("path_style")) ?? endpoint !== undefined,
    caFile: caFile === undefined ? undefined : path.resolve(caFile),
    credentials: parseCredentials(given),
    objectLock: parseLockMode(given.get("object_lock")),
  } as const;
  return { ...address, location: s3UrlOf(address) };
}

function parsePrefix(written: string): string {
  const prefix = written.replace(/\/$/, "");
  if (prefix === "") return "";
  if (!isObjectName(`x/${prefix}`)) throw unusable("its prefix has other characters than A-Z, a-z, 0-9 and `._-/`");
  return `${prefix}/`;
}

function parseFlag(text: string | undefined): boolean | undefined {
  if (text === undefined || text === "true" || text === "false")
    return text === undefined ? undefined : text === "true";
  throw unusable("its path_style is neither true nor false");
}

function parseLockMode(text: string | undefined): LockMode | undefined {
  if (text === undefined || text === "governance" || text === "compliance") return text;
  throw unusable("its object_lock is neither governance nor compliance");
}

function parseCredentials(given: ReadonlyMap<Setting, string>): S3Credentials {
  const file = given.get("credentials_file");
  const name = given.get("credentials_credential");
  if (file !== undefined && name !== undefined) throw unusable("it names two origins of credentials");
  if (file !== undefined) return { kind: "file", path: path.resolve(file) };
  return name === undefined ? { kind: "chain" } : { kind: "credential", name };
}

function unusable(why: string): StillpointError {
  return new StillpointError("usage", {
    what: `Cannot use this s3:// URL as a repository: ${why}`,
    safe: "Nothing was changed.",
    next: "docs/offsite.md, section S3, has examples.",
  });
}
