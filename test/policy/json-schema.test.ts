import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { configSchemaText } from "../../src/policy/json-schema.ts";

test("config/stillpoint.schema.json is the schema: `npm run schema` writes it", () => {
  const file = new URL("../../config/stillpoint.schema.json", import.meta.url);
  expect(readFileSync(file, "utf8")).toBe(configSchemaText());
});

test("every setting has a description, and every map refuses what it doesn't know", () => {
  const maps = mapsIn(JSON.parse(configSchemaText()));
  expect(maps.length).toBeGreaterThan(15);
  for (const map of maps) expect(map).toHaveProperty("additionalProperties", false);
  const settings = maps.flatMap(({ properties }) => Object.entries(properties));
  expect(settings.filter(([, setting]) => !("description" in setting)).map(([name]) => name)).toEqual([]);
});

interface MapSchema {
  properties: Record<string, object>;
}

function mapsIn(node: unknown): MapSchema[] {
  if (typeof node !== "object" || node === null) return [];
  const inside = Object.values(node).flatMap(mapsIn);
  return isMapSchema(node) ? [node, ...inside] : inside;
}

function isMapSchema(node: object): node is MapSchema {
  return "properties" in node && typeof node.properties === "object" && "type" in node && node.type === "object";
}
