import { expect, it } from "vitest";
import { concerns, edited, type Refusal, reached, replaced } from "./refusal";

const of = (field: string | null): Refusal => ({ message: "No.", field });

it("is about a field and its parts, and no other", () => {
  expect(concerns(of("user_ids"), "user_ids")).toBe(true);
  expect(concerns(of("user_ids[2]"), "user_ids")).toBe(true);
  expect(concerns(of("quiet_hours.end"), "quiet_hours")).toBe(true);
  expect(concerns(of("user_ids"), "user_id")).toBe(false);
  expect(concerns(of(null), "title")).toBe(false);
  expect(concerns(null, "title")).toBe(false);
});

it("goes with an edit of its field only", () => {
  expect(edited(of("title"), ["title"])).toBeNull();
  expect(edited(of("user_ids[0]"), ["user_id", "user_ids"])).toBeNull();
  expect(edited(of("title"), ["message"])).toEqual(of("title"));
  expect(edited(of(null), ["title"])).toEqual(of(null));
});

it("of a server that was not reached goes once it is", () => {
  expect(reached({ ...of(null), unreached: true })).toBeNull();
  expect(reached(of("title"))).toEqual(of("title"));
  expect(reached(null)).toBeNull();
});

it("gives way to the page's next, and not to the end of another", () => {
  const [here, pages] = [of("title"), of("type")];
  expect(replaced(here, null, pages)).toBe(pages);
  expect(replaced(pages, pages, null)).toBeNull();
  expect(replaced(here, pages, null)).toBe(here);
});
