/**
 * Writes `config/stillpoint.schema.json` from the schema that checks the configuration. Editors use it to help while
 * a file is written: `# yaml-language-server: $schema=stillpoint.schema.json`.
 */

import { writeFile } from "node:fs/promises";
import { configSchemaText } from "../src/policy/json-schema.ts";

await writeFile(new URL("../config/stillpoint.schema.json", import.meta.url), configSchemaText());
