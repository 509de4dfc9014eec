import { expect, it } from "vitest";
import { type Adder, refusedInput } from "./adder";

const [type, id] = ["type", "id"].map((name) => ({ id: name, label: name, placeholder: "", field: `things.${name}` }));
const adder: Adder = { inputs: [type!, id!], field: "things", what: "thing", hint: "", take: () => null };

it("says which input was refused: the named one, or of the list the first", () => {
  const refused = (field: string | null) => refusedInput(adder, { message: "No.", field });
  expect([refused("things.id"), refused("things.type"), refused("things[3].id"), refused("things")]).toEqual([
    id,
    type,
    type,
    type,
  ]);
  expect([refused("others"), refused(null), refusedInput(adder, null)]).toEqual([null, null, null]);
});
