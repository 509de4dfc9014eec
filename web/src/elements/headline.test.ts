import { expect, it } from "vitest";
import type { Group, Notification } from "../client/wire";
import { headline, nameOf } from "./headline";

const member = { id: "n1", title: "First", actor: "u3", actor_name: null, created_at: "2026-01-31T09:30:00.000Z" };
const names = new Map([["u1", "Mira Okafor"]]);

function words(group: Partial<Group> | null, actor: string | null = "u1"): string {
  const whole = group === null ? null : { count: 13, actors: 13, first: member, latest: { ...member, actor }, ...group };
  return headline({ title: "Episode 4 updated", group: whole } as Notification, names);
}

it("is the title of one alone, and of a group nobody is behind", () => {
  expect(words(null)).toBe("Episode 4 updated");
  expect(words({ count: 1, actors: 1 })).toBe("Episode 4 updated");
  expect(words({ actors: 0 }, null)).toBe("Episode 4 updated");
});

it("names who came last and counts the others", () => {
  expect(words({})).toBe("Mira Okafor and 12 others: Episode 4 updated");
  expect(words({ actors: 2 })).toBe("Mira Okafor and 1 other: Episode 4 updated");
  expect(words({ actors: 1 })).toBe("Mira Okafor: Episode 4 updated");
});

it("names a person as the page knows them, else as they were known then, else by id", () => {
  expect(nameOf({ actor: "u1", actor_name: "M. O." }, names)).toBe("Mira Okafor");
  expect(nameOf({ actor: "u7", actor_name: "Ines Marsh" }, names)).toBe("Ines Marsh");
  expect(nameOf({ actor: "u7", actor_name: null }, names)).toBe("u7");
  expect(nameOf({ actor: null, actor_name: null }, names)).toBeNull();
});

it("does not pretend to have counted further than the server does", () => {
  expect(words({ count: 400, actors: 100 })).toBe("Mira Okafor and 99 or more others: Episode 4 updated");
});
