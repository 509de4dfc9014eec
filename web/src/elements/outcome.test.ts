import { expect, it } from "vitest";
import type { Counted, Decision } from "../client/wire";
import { outcomeOf } from "./outcome";

const NOW = Date.parse("2025-06-15T12:00:00.000Z");

const one = (change: Partial<Decision>): string => {
  const decision: Decision = { outcome: "now", rule: null, held_until: null, ...change };
  const { words, delivered } = outcomeOf(["Mira Okafor"], { decision }, NOW);
  return `${delivered ? "+" : "-"} ${words}`;
};

const several = (change: Partial<Counted>): string => {
  const counted: Counted = { created: 0, held: 0, folded: 0, suppressed: { muted: 0, rate_limited: 0 }, ...change };
  const { words, delivered } = outcomeOf(["Mira Okafor", "Aiko Tan"], counted, NOW);
  return `${delivered ? "+" : "-"} ${words}`;
};

it("says of one person what was decided", () => {
  expect(one({})).toBe("+ Sent to Mira Okafor.");
  expect(one({ rule: "urgent" })).toBe("+ Sent to Mira Okafor.");
  expect(one({ outcome: "folded", rule: "group" })).toBe("+ Folded into an earlier one that Mira Okafor has not read.");
});

it("says of one person until when it is held, and why", () => {
  const until = "2025-06-16T07:00:00.000Z";
  expect(one({ outcome: "held", rule: "quiet_hours", held_until: until })).toBe(
    "- Held until Jun 16, 07:00: Mira Okafor has quiet hours.",
  );
  expect(one({ outcome: "held", rule: "attention" })).toBe(
    "- Held until that changes: Mira Okafor is not to be disturbed now.",
  );
});

it("does not say of one person that it was sent when it was not", () => {
  expect(one({ outcome: "suppressed", rule: "muted_type" })).toBe(
    "- Mira Okafor has muted this type: it was not delivered.",
  );
  expect(one({ outcome: "suppressed", rule: "muted_resource" })).toContain("muted what this is about");
  expect(one({ outcome: "suppressed", rule: "rate_limited" })).toContain("over the hourly limit: it was not delivered");
});

it("names several people when all got it, and counts otherwise", () => {
  expect(several({ created: 2 })).toBe("+ Sent to Mira Okafor, Aiko Tan.");
  expect(several({ created: 1, suppressed: { muted: 1, rate_limited: 0 } })).toBe("- Sent to 1 of 2; 1 has muted it.");
  expect(several({ suppressed: { muted: 2, rate_limited: 0 } })).toBe("- Sent to none of 2; 2 have muted it.");
  expect(several({ created: 1, held: 1 })).toBe("- Sent to 1 of 2; held for 1 until later.");
  expect(several({ created: 1, folded: 1 })).toBe("+ Sent to 1 of 2; folded for 1 into an earlier unread one.");
  expect(several({ created: 1, held: 2, suppressed: { muted: 1, rate_limited: 2 } })).toBe(
    "- Sent to 1 of 6; held for 2 until later, 1 has muted it, 2 are over the hourly limit.",
  );
});
