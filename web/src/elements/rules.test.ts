import { expect, it } from "vitest";
import { titleFlaw, typeFlaw } from "./rules";

it.each(["note", "episode:updated", "a", "0.b_c-d", "a".repeat(64)])("takes the type %s", (type) => {
  expect(typeFlaw(type)).toBeNull();
});

it.each(["", "Note", "a b", ":a", "ä", "a\n", "a".repeat(65)])("explains without a pattern why %j is no type", (type) => {
  const words = typeFlaw(type) ?? "";
  expect(words).toContain("small letters, digits and . _ : -");
  expect(words).not.toMatch(/\[|\^|\\/);
});

it.each(["", " ", "\u00a0\u3000", "\t\n", "\u200b\u200d", "\u2060\ufeff", "\u00ad", "\u3164", "\u2800", "\u{e0020}"])(
  "takes the title %j for blank",
  (title) => {
    expect(titleFlaw(title)).toContain("blank");
  },
);

it.each(["a", " a ", "👩‍👩‍👧", "\u200bé", "."])("takes the title %j", (title) => {
  expect(titleFlaw(title)).toBeNull();
});
