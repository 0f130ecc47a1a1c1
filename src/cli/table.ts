export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
  /** Whether it may be cut when the terminal is too narrow for all. */
  readonly cut?: boolean;
}

/** Fewer characters than this tell nothing. */
const narrowest = 6;
const gap = 2;

/**
 * The lines of a table, its titles first. When the lines would be wider than `width`, cells of the columns that may be
 * cut end in `…`, the widest first; without `width` nothing is cut.
 */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width?: number,
): string[] {
  const titles = columns.map(({ title }) => title);
  const widths = columns.map((_, index) => Math.max(...[titles, ...rows].map((row) => length(row[index] ?? ""))));
  if (width !== undefined) fit(columns, widths, width);
  return [titles, ...rows].map((row) =>
    columns
      .map(({ align = "left" }, index) => pad(row[index] ?? "", widths[index] ?? 0, align))
      .join(" ".repeat(gap))
      .trimEnd(),
  );
}

function fit(columns: readonly Column[], widths: number[], width: number): void {
  const total = (): number => widths.reduce((sum, one) => sum + one, gap * (widths.length - 1));
  while (total() > width) {
    let widest: number | undefined;
    for (const [index, { cut }] of columns.entries()) {
      const size = widths[index] ?? 0;
      if (cut === true && size > narrowest && (widest === undefined || size > (widths[widest] ?? 0))) widest = index;
    }
    if (widest === undefined) return;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
}

function pad(cell: string, width: number, align: "left" | "right"): string {
  const characters = Array.from(cell);
  const text = characters.length <= width ? cell : `${characters.slice(0, width - 1).join("")}…`;
  const space = " ".repeat(Math.max(0, width - length(text)));
  return align === "left" ? text + space : space + text;
}

function length(text: string): number {
  return Array.from(text).length;
}
