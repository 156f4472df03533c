// Writes proto/generated/troupe.ts from proto/troupe.proto: one interface and one codec a message, and the table of the
// messages a frame can carry. `--check` only compares and exits with 1 when the checked-in file is stale.
//
// Own code instead of pbjs: plain numbers for 64-bit fields, received bodies of one fixed shape, types that say what is
// always there, and nothing to load at start (protobufjs itself takes 25 ms). test/unit/transport holds both together.

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import protobuf from "protobufjs";

const source = fileURLToPath(new URL("../proto/troupe.proto", import.meta.url));
const target = fileURLToPath(new URL("../proto/generated/troupe.ts", import.meta.url));

const root = new protobuf.Root().loadSync(source).resolveAll();
const contract = root.lookup("troupe.v1");
const types = contract.nestedArray.filter((entry) => entry instanceof protobuf.Type);
const enums = contract.nestedArray.filter((entry) => entry instanceof protobuf.Enum);
/** The envelope is walked by hand in runtime/transport: its objects are never made. */
const ENVELOPE = new Set(["Frame", "Message"]);

const SCALARS = {
  uint32: { type: "number", wire: 0, empty: "0", write: "uint32", read: "uint32" },
  uint64: { type: "number", wire: 0, empty: "0", write: "uint64", read: "uint64" },
  sint32: { type: "number", wire: 0, empty: "0", write: "sint32", read: "sint32" },
  sint64: { type: "number", wire: 0, empty: "0", write: "sint64", read: "sint64" },
  bool: { type: "boolean", wire: 0, empty: "false", write: "bool", read: "bool" },
  string: { type: "string", wire: 2, empty: '""', write: "string", read: "string" },
  bytes: { type: "Uint8Array", wire: 2, empty: "NONE", write: "raw", read: "raw" },
};
const PACKED = { uint32: "packedUint32", uint64: "packedUint64" };

function scalarOf(field) {
  const scalar = field.resolvedType instanceof protobuf.Enum ? SCALARS.uint32 : SCALARS[field.type];
  if (!scalar) throw new Error(`${field.fullName}: ${field.type} is not supported; teach it to this script and to proto/wire.ts`);
  return scalar;
}
const isMessage = (field) => field.resolvedType instanceof protobuf.Type;

const fatness = new Map();
function isFat(type) {
  if (fatness.has(type)) return fatness.get(type);
  fatness.set(type, false);
  const fat = type.fieldsArray.some((field) => (isMessage(field) ? isFat(field.resolvedType) : field.type === "bytes"));
  fatness.set(type, fat);
  return fat;
}

function typeOf(field) {
  const one = isMessage(field) ? field.resolvedType.name : scalarOf(field).type;
  if (field.map) return `Readonly<Record<string, ${one}>>`;
  if (field.repeated) return `readonly ${one}[]`;
  return field.partOf || isMessage(field) ? `${one} | undefined` : one;
}

const emptyOf = (field) =>
  field.map ? "NO_ENTRIES" : field.repeated ? "[]" : field.partOf || isMessage(field) ? "undefined" : scalarOf(field).empty;

function* membersOf(type) {
  for (const oneof of type.oneofsArray) {
    const names = oneof.fieldsArray.map((field) => JSON.stringify(field.name)).join(" | ");
    const note = "Which of them is set. Ignored when sent.";
    yield { name: oneof.name, type: `${names} | undefined`, empty: "undefined", note };
  }
  for (const field of type.fieldsArray) yield { name: field.name, type: typeOf(field), empty: emptyOf(field), field };
}

// -- writing ---------------------------------------------------------------------------------------------------------

const tagOf = (field, wire) => (field.id << 3) | wire;

function writeNested(field, value, pad) {
  const fat = isFat(field.resolvedType);
  return [
    `${pad}const start = writer.begin(${tagOf(field, 2)}, ${fat});`,
    `${pad}write${field.resolvedType.name}(writer, ${value});`,
    `${pad}writer.end(start, ${fat});`,
  ];
}

function writeMap(field) {
  const scalar = scalarOf(field);
  const wireTag = (2 << 3) | scalar.wire;
  return [
    `  for (const key in body.${field.name}) {`,
    `    const value = body.${field.name}[key];`,
    `    if (value === undefined || value === null) continue;`,
    `    const start = writer.begin(${tagOf(field, 2)}, false);`,
    `    writer.string(10, key);`,
    `    writer.${scalar.write}(${wireTag}, value);`,
    `    writer.end(start, false);`,
    `  }`,
  ];
}

function writeRepeated(field) {
  const lines = [`  if (body.${field.name} !== undefined && body.${field.name} !== null && body.${field.name}.length > 0) {`];
  if (!isMessage(field) && PACKED[field.type]) {
    lines.push(`    const start = writer.begin(${tagOf(field, 2)}, false);`);
    lines.push(`    for (const item of body.${field.name}) writer.${PACKED[field.type]}(item);`);
    lines.push(`    writer.end(start, false);`, `  }`);
    return lines;
  }
  lines.push(`    for (const item of body.${field.name}) {`);
  if (isMessage(field)) lines.push(...writeNested(field, "item", "      "));
  else if (field.type === "string") lines.push(`      writer.string(${tagOf(field, 2)}, item);`);
  else throw new Error(`${field.fullName}: repeated ${field.type} is not supported`);
  lines.push(`    }`, `  }`);
  return lines;
}

function writeSingle(field) {
  const value = `body.${field.name}`;
  const given = `${value} !== undefined && ${value} !== null`;
  if (isMessage(field)) return [`  if (${given}) {`, ...writeNested(field, value, "    "), "  }"];
  const scalar = scalarOf(field);
  const tag = tagOf(field, scalar.wire);
  if (field.partOf) {
    if (scalar.write === "bool") throw new Error(`${field.fullName}: bool in a oneof is not supported`);
    return [`  if (${value} !== undefined && ${value} !== null) writer.${scalar.write}(${tag}, ${value});`];
  }
  if (scalar.write === "bool") return [`  if (${value}) writer.bool(${tag});`];
  if (scalar.write === "raw") return [`  if (${value} && ${value}.length > 0) writer.raw(${tag}, ${value});`];
  return [`  if (${value}) writer.${scalar.write}(${tag}, ${value});`];
}

const writeField = (field) => (field.map ? writeMap(field) : field.repeated ? writeRepeated(field) : writeSingle(field));

function writerOf(type) {
  const used = type.fieldsArray.length > 0 ? ["writer", "body"] : ["_writer", "_body"];
  return [
    `function write${type.name}(${used[0]}: Writer, ${used[1]}: Draft<${type.name}>): void {`,
    ...type.fieldsArray.flatMap(writeField),
    "}",
  ];
}

// -- reading ---------------------------------------------------------------------------------------------------------

function readNested(field, wrap) {
  return ["const inner = reader.enter(end);", wrap(`read${field.resolvedType.name}(reader, inner)`), "reader.leave(inner);"];
}

function readCase(field) {
  const name = `v_${field.name}`;
  if (field.map) {
    const scalar = scalarOf(field);
    const read = `readEntry(reader, end, ${(2 << 3) | scalar.wire}, ${scalar.empty}, (from) => from.${scalar.read}(), ${name})`;
    return [[tagOf(field, 2), [`${name} = ${read};`]]];
  }
  if (field.repeated && isMessage(field)) return [[tagOf(field, 2), readNested(field, (value) => `${name}.push(${value});`)]];
  if (field.repeated) {
    const scalar = scalarOf(field);
    const single = [tagOf(field, scalar.wire), [`${name}.push(reader.${scalar.read}());`]];
    if (!PACKED[field.type]) return [single];
    const packed = [
      "const inner = reader.enter(end);",
      `while (reader.position < inner) ${name}.push(reader.${scalar.read}());`,
      "reader.leave(inner);",
    ];
    return [[tagOf(field, 2), packed], single];
  }
  const set = field.partOf ? [`v_${field.partOf.name} = ${JSON.stringify(field.name)};`] : [];
  if (isMessage(field)) return [[tagOf(field, 2), [...readNested(field, (value) => `${name} = ${value};`), ...set]]];
  const scalar = scalarOf(field);
  return [[tagOf(field, scalar.wire), [`${name} = reader.${scalar.read}();`, ...set]]];
}

function readerOf(type) {
  const members = [...membersOf(type)];
  const lines = [`function read${type.name}(reader: Reader, end: number): ${type.name} {`];
  for (const { name, type: declared, field, empty } of members) {
    const mutable = field?.repeated ? declared.replace("readonly ", "") : declared;
    const constant = field?.repeated ? "const" : "let";
    lines.push(`  ${constant} v_${name}: ${mutable} = ${empty};`);
  }
  lines.push("  while (reader.position < end) {", "    const tag = reader.uint32();", "    switch (tag) {");
  for (const field of type.fieldsArray) {
    for (const [tag, body] of readCase(field)) {
      const block = body.some((line) => line.startsWith("const "));
      lines.push(`      case ${tag}:${block ? " {" : ""}`, ...body.map((line) => `        ${line}`), "        break;");
      if (block) lines.push("      }");
    }
  }
  lines.push("      default:", "        reader.skip(tag);", "    }", "  }");
  lines.push(`  return { ${members.map(({ name }) => `${name}: v_${name}`).join(", ")} };`, "}");
  return lines;
}

// -- the file --------------------------------------------------------------------------------------------------------

function interfaceOf(type) {
  const lines = [`export interface ${type.name} {`];
  for (const { name, type: declared, note } of membersOf(type)) {
    if (note) lines.push(`  /** ${note} */`);
    lines.push(`  readonly ${name}: ${declared};`);
  }
  return [...lines, "}"];
}

function codecOf(type) {
  const parts = `name: "${type.name}", fat: ${isFat(type)}, write: write${type.name}, read: read${type.name}`;
  return [`export const ${type.name}: Codec<${type.name}> = { ${parts} };`];
}

function enumOf(entry) {
  const values = Object.entries(entry.values).map(([name, value]) => `  ${name}: ${value},`);
  return [`export const ${entry.name} = {`, ...values, "} as const;", ""];
}

function tableOf(name, oneof) {
  const rows = oneof.fieldsArray.map((field) => `  ${field.name}: { field: ${field.id}, codec: ${field.resolvedType.name} },`);
  return [`export const ${name} = {`, ...rows, "} as const;", ""];
}

const READ_ENTRY = `
function readEntry<V>(
  reader: Reader, end: number, valueTag: number, empty: V, readValue: (from: Reader) => V, into: Readonly<Record<string, V>>,
): Readonly<Record<string, V>> {
  // No prototype: a key named __proto__ is a key like any other.
  const entries = into === NO_ENTRIES ? (Object.create(null) as Record<string, V>) : (into as Record<string, V>);
  const inner = reader.enter(end);
  let key = "";
  let value = empty;
  while (reader.position < inner) {
    const tag = reader.uint32();
    if (tag === 10) key = reader.string();
    else if (tag === valueTag) value = readValue(reader);
    else reader.skip(tag);
  }
  reader.leave(inner);
  entries[key] = value;
  return entries;
}
`;

function generate() {
  const bodies = types.filter((type) => !ENVELOPE.has(type.name));
  const message = types.find((type) => type.name === "Message");
  const lines = [
    "// Generated by scripts/generate-proto.mjs from proto/troupe.proto. Do not edit.",
    "",
    'import type { Codec, Draft, Reader, Writer } from "../wire.ts";',
    "",
    "const NONE = new Uint8Array(0);",
    "const NO_ENTRIES: Readonly<Record<string, never>> = Object.freeze(Object.create(null));",
    ...READ_ENTRY.split("\n"),
  ];
  for (const entry of enums) lines.push(...enumOf(entry));
  for (const type of bodies) lines.push(...interfaceOf(type), ...writerOf(type), ...readerOf(type), ...codecOf(type), "");
  lines.push("/** What a frame can carry: the members of Message.body. */", ...tableOf("MESSAGES", message.oneofs.body));
  return lines.join("\n");
}

const text = generate();
if (process.argv.includes("--check")) {
  if (readFileSync(target, "utf8") !== text) {
    console.error("proto/generated/troupe.ts is stale: run `npm run proto`");
    process.exit(1);
  }
} else {
  writeFileSync(target, text);
}
