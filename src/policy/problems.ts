/** Problems in a text that a person wrote, shown where they are: position, line, caret. */

import { StillpointError } from "../errors.ts";

/** Offsets into the text: the first character, and the one after the last. */
export type Range = readonly [start: number, end: number];

export interface Problem {
  readonly range: Range;
  readonly message: string;
}

export interface SourceText {
  /** What to call the text in messages. */
  readonly file: string;
  readonly text: string;
  /** Parts that must never be printed, such as values of environment variables. */
  readonly secrets?: readonly Range[] | undefined;
}

/** More than anybody corrects in one go. */
const mostShown = 50;
const widestLine = 160;

/** `config_invalid` with every problem in the order of the text, each once. */
export function problemsError(source: SourceText, problems: readonly Problem[]): StillpointError {
  const sorted = problems.toSorted((a, b) => a.range[0] - b.range[0] || (a.message < b.message ? -1 : 1));
  const distinct = [...new Map(sorted.map((problem) => [`${problem.range[0]} ${problem.message}`, problem])).values()];
  const blocks = distinct.slice(0, mostShown).map((problem) => formatProblem(source, problem));
  const more = distinct.length > mostShown ? `, of which the first ${mostShown} are shown` : "";
  const count = distinct.length === 1 ? "1 problem" : `${distinct.length} problems`;
  const summary = `Cannot use ${printable(source.file)}: ${count}${more}`;
  return new StillpointError("config_invalid", { what: [...blocks, summary].join("\n\n") });
}

/** `file:line:column: message`. Lines and columns count from 1, columns in characters of JavaScript. */
export function locate({ file, text }: SourceText, { range, message }: Problem): string {
  const { line, column } = position(text, range[0]);
  return `${printable(file)}:${line}:${column}: ${printable(message)}`;
}

function formatProblem(source: SourceText, problem: Problem): string {
  const { column, start, end } = position(source.text, problem.range[0]);
  const line = masked(source, start, end);
  // Of a very long line, the part around the problem.
  const from = Math.max(0, Math.min(column - 1 - widestLine / 2, line.length - widestLine));
  const length = Math.max(1, Math.min(problem.range[1], end) - problem.range[0]);
  const marks = "^".padEnd(Math.min(length, from + widestLine - (column - 1)), "~");
  const excerpt = printable(line.slice(from, from + widestLine)).trimEnd();
  return `${locate(source, problem)}\n  ${excerpt}\n  ${" ".repeat(column - 1 - from)}${marks}`;
}

function position(text: string, offset: number): { line: number; column: number; start: number; end: number } {
  const at = Math.min(Math.max(offset, 0), text.length);
  const start = at === 0 ? 0 : text.lastIndexOf("\n", at - 1) + 1;
  const next = text.indexOf("\n", at);
  const line = text.slice(0, start).split("\n").length;
  return { line, column: at - start + 1, start, end: next === -1 ? text.length : next };
}

function masked({ text, secrets = [] }: SourceText, start: number, end: number): string {
  let line = text.slice(start, end);
  for (const [from, to] of secrets) {
    const first = Math.max(from, start) - start;
    const last = Math.min(to, end) - start;
    if (last > first) line = line.slice(0, first) + "*".repeat(last - first) + line.slice(last);
  }
  return line;
}

/** One character for each, so that the caret still fits; what could steer a terminal is left out. */
function printable(text: string): string {
  return text
    .replace(/[\t\r]/g, " ")
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => "?".repeat(character.length));
}
