import { describe, expect, it } from "vitest";
import type { QuietHours } from "../client/wire";
import { type Choices, isUnsaved, rebased, rebasedHours, rebasedSettings, resourceOf, resourceText } from "./choices";

const night: QuietHours = { start: "22:00", end: "07:00", timezone: "UTC", days: ["mon", "tue"] };

const muted = { muted: true, quiet_hours: true, attention: true };
const passing = { muted: false, quiet_hours: false, attention: false };

describe("what is unsaved", () => {
  const four = { type: "episode", id: "4" };
  const stored: Choices = {
    muted_types: ["a", "b"],
    muted_resources: [four, { type: "shot", id: "a b" }],
    quiet_hours: night,
    types: { a: muted, b: passing },
  };
  const nothing: Choices = { muted_types: [], muted_resources: [], quiet_hours: null, types: {} };

  it("is not what is stored in another order", () => {
    const turned: Choices = {
      muted_types: ["b", "a"],
      muted_resources: [...stored.muted_resources].reverse(),
      quiet_hours: { ...night, days: ["tue", "mon"] },
      types: { b: passing, a: muted },
    };
    expect(isUnsaved(stored, turned)).toBe(false);
    expect(isUnsaved(nothing, nothing)).toBe(false);
  });

  it.each<Partial<Choices>>([
    { muted_types: ["a"] },
    { muted_types: ["a", "c"] },
    { muted_resources: [four] },
    { muted_resources: [four, { type: "shot", id: "b a" }] },
    { quiet_hours: null },
    { quiet_hours: { ...night, end: "08:00" } },
    { quiet_hours: { ...night, timezone: "Asia/Tokyo" } },
    { quiet_hours: { ...night, days: ["mon"] } },
    { types: { a: muted } },
    { types: { a: muted, b: { ...passing, attention: true } } },
    { types: { a: muted, c: passing } },
  ])("is %j", (chosen) => {
    expect(isUnsaved(stored, { ...stored, ...chosen })).toBe(true);
  });
});

it("a resource is read as it was written", () => {
  const resource = { type: "shot", id: "031 0140" };
  expect(resourceText(resource)).toBe("shot 031 0140");
  expect(resourceOf(resourceText(resource))).toEqual(resource);
});

describe("settings that were stored elsewhere meanwhile", () => {
  it("come to what was set here and not saved", () => {
    expect(rebasedSettings({ mine: muted }, {}, { theirs: passing })).toEqual({ mine: muted, theirs: passing });
  });

  it("give way to those that were changed here, and take the place of others", () => {
    const [before, after] = [{ a: muted, b: muted }, { a: passing, b: passing }];
    expect(rebasedSettings({ a: { ...muted, muted: false }, b: muted }, before, after)).toEqual({
      a: { ...muted, muted: false },
      b: passing,
    });
  });

  it("are those of a type, whatever it is called", () => {
    expect(rebasedSettings({ constructor: muted }, { constructor: muted }, {})).toEqual({});
  });

  it("stay away where they were taken away here, or there", () => {
    expect(rebasedSettings({ b: muted }, { a: muted, b: muted }, { a: muted })).toEqual({});
  });
});

describe("quiet hours that were stored elsewhere meanwhile", () => {
  const late: QuietHours = { ...night, end: "09:00" };

  it("are taken over if nothing was changed here", () => {
    expect(rebasedHours({ ...night, days: ["tue", "mon"] }, night, late)).toEqual(late);
    expect(rebasedHours(night, night, null)).toBeNull();
    expect(rebasedHours(null, null, late)).toEqual(late);
  });

  it("give way to those that were changed here", () => {
    expect(rebasedHours(late, night, { ...night, start: "20:00" })).toEqual(late);
    expect(rebasedHours(late, null, night)).toEqual(late);
    expect(rebasedHours(null, night, late)).toBeNull();
  });
});

describe("what was muted elsewhere meanwhile", () => {
  it("comes to what was added here and not saved", () => {
    expect(rebased(["a", "mine"], ["a"], ["a", "theirs"])).toEqual(["a", "theirs", "mine"]);
  });

  it("does not bring back what was taken away here, and takes away what was there", () => {
    expect(rebased(["b"], ["a", "b"], ["a", "b", "c"])).toEqual(["b", "c"]);
    expect(rebased(["a", "b"], ["a", "b"], ["b"])).toEqual(["b"]);
  });

  it("is nothing when what is here was stored", () => {
    expect(rebased(["b", "c"], ["a", "b"], ["b", "c"])).toEqual(["b", "c"]);
  });
});
