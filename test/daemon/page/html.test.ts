import fc from "fast-check";
import { expect, it } from "vitest";
import { html } from "../../../src/daemon/page/html.ts";

it("escapes every value, in text and in attributes", () => {
  const name = `<img src=x onerror="alert('1')">&`;
  expect(html`<p title="${name}">${name}</p>`.text).toBe(
    '<p title="&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;">&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;</p>',
  );
});

it("takes pieces as they are, and undefined for nothing", () => {
  expect(html`<ul>${[1, 2].map((number) => html`<li>${number}</li>`)}</ul>${undefined}`.text).toBe(
    "<ul><li>1</li><li>2</li></ul>",
  );
});

it("shows what could deceive, and keeps line breaks", () => {
  expect(html`${"a\u202Eb\u0000\nc"}`.text).toBe("a\\u{202e}b\\u{0}\nc");
});

it("lets no value end the text that it stands in", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom("<", ">", "&", '"', "'", "#", ";", "a", "\n", "\u202E", "\uD800") }),
      (value) => {
        expect(html`${value}`.text).not.toMatch(/[<>"']|&(?!amp;|lt;|gt;|quot;|#39;)/);
      },
    ),
  );
});
