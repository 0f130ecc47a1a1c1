/** As much of PromQL as it takes to see which metrics and labels an expression names. */

/** Added by Prometheus when it scrapes. */
const scrapeLabels = ["job", "instance"];
/** Made by Prometheus itself. */
const ownMetrics: readonly (readonly [string, ReadonlySet<string>])[] = [["up", new Set()]];

const words = new Set(["and", "or", "unless", "bool", "offset", "inf", "nan"]);
const lists = new Set(["by", "without", "on", "ignoring", "group_left", "group_right"]);

const token = /"(?:[^"\\]|\\.)*"|\[[^\]]*\]|[a-zA-Z_:][\w:]*|[\d.]+|\S/g;

/**
 * What is wrong with the names in an expression, and in the labels of its legend: empty when each metric is exported, and
 * each label is one of the metric's, or of some metric in the expression where it stands by itself.
 */
export function wrongNames(
  expression: string,
  exported: ReadonlyMap<string, ReadonlySet<string>>,
  legend = "",
): readonly string[] {
  const known = new Map([...exported, ...ownMetrics]);
  const tokens = expression.match(token) ?? [];
  const wrong: string[] = [];
  const seen = new Set(scrapeLabels);
  const free: string[] = [];
  for (let at = 0; at < tokens.length; at += 1) {
    const name = tokens[at] ?? "";
    if (!/^[a-zA-Z_:]/.test(name) || words.has(name.toLowerCase())) continue;
    if (lists.has(name)) {
      const [labels, end] = inside(tokens, at + 1, ")");
      free.push(...labels);
      at = end;
    } else if (tokens[at + 1] !== "(" && !lists.has(tokens[at + 1] ?? "")) {
      const own = known.get(name);
      if (own === undefined) wrong.push(`no metric ${name}`);
      for (const label of own ?? []) seen.add(label);
      if (tokens[at + 1] !== "{") continue;
      const [labels, end] = inside(tokens, at + 1, "}");
      for (const label of labels) {
        if (own?.has(label) === false && !scrapeLabels.includes(label)) wrong.push(`${name} has no label ${label}`);
      }
      at = end;
    }
  }
  const inLegend = Array.from(legend.matchAll(/\{\{\s*(\w+)\s*\}\}/g), ([, label = ""]) => label);
  for (const label of [...free, ...inLegend]) if (!seen.has(label)) wrong.push(`no label ${label}`);
  return wrong;
}

/** The names up to the bracket that closes, and where that is. */
function inside(tokens: readonly string[], from: number, closing: string): readonly [string[], number] {
  const end = tokens.indexOf(closing, from);
  return [tokens.slice(from, end).filter((one) => /^[a-zA-Z_]/.test(one)), end];
}
