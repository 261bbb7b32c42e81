import { expect, it } from "vitest";
import { csvOf } from "../src/lib/csv";

it("quotes what would break a table, keeps all digits, and leaves out what isn't a number", () => {
  const rows = [
    ['a "b", c', 0.1 + 0.2],
    ["line\nbreak", NaN],
    ["plain", null],
  ];
  expect(csvOf(["token", "x"], rows)).toBe(
    'token,x\r\n"a ""b"", c",0.30000000000000004\r\n"line\nbreak",\r\nplain,\r\n',
  );
});
