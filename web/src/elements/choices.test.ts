import { describe, expect, it } from "vitest";
import type { QuietHours } from "../client/wire";
import { isUnsaved, rebased } from "./choices";

const night: QuietHours = { start: "22:00", end: "07:00", timezone: "UTC", days: ["mon", "tue"] };

describe("what is unsaved", () => {
  const stored = { muted_types: ["a", "b"], quiet_hours: night };

  it("is not what is stored in another order", () => {
    const days: QuietHours["days"] = ["tue", "mon"];
    expect(isUnsaved(stored, { muted_types: ["b", "a"], quiet_hours: { ...night, days } })).toBe(false);
    expect(isUnsaved({ muted_types: [], quiet_hours: null }, { muted_types: [], quiet_hours: null })).toBe(false);
  });

  it.each([
    { muted_types: ["a"], quiet_hours: night },
    { muted_types: ["a", "c"], quiet_hours: night },
    { muted_types: ["a", "b"], quiet_hours: null },
    { muted_types: ["a", "b"], quiet_hours: { ...night, end: "08:00" } },
    { muted_types: ["a", "b"], quiet_hours: { ...night, timezone: "Asia/Tokyo" } },
    { muted_types: ["a", "b"], quiet_hours: { ...night, days: ["mon"] as const } },
  ])("is %j", (chosen) => {
    expect(isUnsaved(stored, chosen)).toBe(true);
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
