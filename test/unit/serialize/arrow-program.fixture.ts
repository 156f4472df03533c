// A program run with tsx, which keeps the imported copy of apache-arrow apart from the required one.
import { tableFromArrays, tableToIPC } from "apache-arrow";
import { createCodec, preloadArrow, type DecodeHooks, type EncodeHooks } from "../../../runtime/serialize/index.ts";

await preloadArrow();
const table = tableFromArrays({ a: [1, 2, 3], s: ["x", "y", "x"] });
const hooks = {} as EncodeHooks & DecodeHooks;
const codec = createCodec();
const result = codec.decode(codec.encode(table, hooks).toBytes(), hooks) as typeof table;
console.log(
  result.constructor === table.constructor,
  tableToIPC(result).length === tableToIPC(table).length,
  String(result) === String(table),
);
