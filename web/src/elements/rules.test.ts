import { expect, it } from "vitest";
import { resourceIdFlaw, resourceTypeFlaw, titleFlaw, typeFlaw } from "./rules";

it.each(["note", "episode:updated", "a", "0.b_c-d", "a".repeat(64)])("takes the type %s", (type) => {
  expect(typeFlaw(type)).toBeNull();
});

it.each(["", "Note", "a b", ":a", "ä", "a\n", "a".repeat(65)])("explains without a pattern why %j is no type", (type) => {
  const words = typeFlaw(type) ?? "";
  expect(words).toContain("small letters, digits and . _ : -");
  expect(words).not.toMatch(/\[|\^|\\/);
});

it.each(["", "Episode", "a:b", "_a", "a b", "a".repeat(65)])("explains why %j is no type of a resource", (type) => {
  expect(resourceTypeFlaw(type)).toContain("small letters, digits and . _ - (");
});

it("takes a resource, and says what its id lacks", () => {
  expect([resourceTypeFlaw("a".repeat(64)), resourceTypeFlaw("0.b_c-d")]).toEqual([null, null]);
  expect([resourceIdFlaw("a b"), resourceIdFlaw("🎬".repeat(200))]).toEqual([null, null]);
  expect(resourceIdFlaw("")).toContain("give its id");
  expect(resourceIdFlaw("a".repeat(201))).toContain("200 characters");
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
