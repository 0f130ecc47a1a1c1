/** `text` in lines of at most `width` columns, each after `indent`; broken between words, and within those that are too long. */
export function wrap(text: string, width: number | undefined, indent: string): string[] {
  if (width === undefined || indent.length + text.length <= width) return [indent + text];
  const room = Math.max(1, width - indent.length);
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (longer.length <= room) line = longer;
    else {
      if (line !== "") lines.push(line);
      line = word;
    }
    for (; line.length > room; line = line.slice(room)) lines.push(line.slice(0, room));
  }
  return [...lines, line].map((one) => indent + one);
}
