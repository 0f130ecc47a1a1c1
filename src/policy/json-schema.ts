import * as z from "zod";
import { configFile } from "./schema.ts";

/** The JSON Schema (draft 2020-12) of the configuration file, as `stillpoint config schema` prints it. */
export function configSchemaText(): string {
  const schema = z.toJSONSchema(configFile, { io: "input", target: "draft-2020-12" });
  return `${JSON.stringify(schema, undefined, 2)}\n`;
}
