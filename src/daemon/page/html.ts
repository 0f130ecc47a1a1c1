/** HTML in which every value is escaped, so that no name or message can be anything but text. Runs in browsers too. */

/** Characters that could reorder, hide or imitate text around them, and controls; line breaks are none. */
const deceptive = /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u{fffd}]/gu;
const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** A piece of HTML that is right as it is. Made by `html` alone. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type Value = Html | string | number | undefined | readonly Html[];

/** The template, its values escaped (attributes must be in double quotes). Undefined is nothing. */
export function html(pieces: TemplateStringsArray, ...values: readonly Value[]): Html {
  return new Html(pieces.map((piece, number) => (number === 0 ? "" : textOf(values[number - 1])) + piece).join(""));
}

function textOf(value: Value): string {
  if (value === undefined) return "";
  if (value instanceof Html) return value.text;
  if (typeof value === "object") return value.map(({ text }) => text).join("");
  return escapeText(String(value));
}

function escapeText(text: string): string {
  return text
    .replaceAll(deceptive, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`)
    .replaceAll(/[&<>"']/g, (character) => entities[character] ?? "");
}
