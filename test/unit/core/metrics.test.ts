// Metrics from the changes of processes to Prometheus text: sums are right, gauges go with their process, nothing grows without
// end.

import { describe, expect, test } from "vitest";
import { type MetricDefinition, MetricDeltas, metricText, MetricTotals } from "../../../runtime/core/index.ts";

const counter: MetricDefinition = { name: "hits_total", kind: "counter", help: "", tags: ["route"] };
const gauge: MetricDefinition = { name: "depth", kind: "gauge", help: "How\ndeep \\ it is", tags: [] };
const histogram: MetricDefinition = { name: "took", kind: "histogram", help: "", tags: [], buckets: [1, 5] };

function processWith(...definitions: readonly MetricDefinition[]): MetricDeltas {
  const deltas = new MetricDeltas();
  for (const definition of definitions) deltas.define(definition);
  return deltas;
}

function told(totals: MetricTotals, process: string, deltas: MetricDeltas): void {
  // As it travels.
  const { changes, dropped } = JSON.parse(JSON.stringify(deltas.take())) as ReturnType<MetricDeltas["take"]>;
  totals.merge(process, changes, dropped);
}

describe("counters", () => {
  test("are sums over processes and over time, and stay when a process ends", () => {
    const [one, two] = [processWith(counter), processWith(counter)];
    const totals = new MetricTotals();
    one.add("hits_total", ["/a"], 2);
    two.add("hits_total", ["/a"], 3);
    told(totals, "p1", one);
    told(totals, "p2", two);
    told(totals, "p2", two);
    one.add("hits_total", ["/a"], 10);
    told(totals, "p1", one);
    totals.forget("p1");
    expect(totals.text({ node: "n" })).toBe('# TYPE hits_total counter\nhits_total{route="/a",node="n"} 15\n');
  });

  test("what tags hold is escaped", () => {
    const deltas = processWith(counter);
    deltas.add("hits_total", ['a"b\\c\nd'], 1);
    const totals = new MetricTotals();
    told(totals, "p", deltas);
    expect(totals.text({})).toContain('hits_total{route="a\\"b\\\\c\\nd"} 1\n');
  });
});

describe("gauges", () => {
  test("are of one process each, as they are now, and go with it", () => {
    const [one, two] = [processWith(gauge), processWith(gauge)];
    const totals = new MetricTotals();
    one.set("depth", [], 5);
    one.add("depth", [], -2);
    two.set("depth", [], Number.MAX_VALUE);
    told(totals, "p1", one);
    told(totals, "p2", two);
    // A gauge goes on where it was.
    one.add("depth", [], 1);
    told(totals, "p1", one);
    const lines = totals.text({}).split("\n");
    expect(lines).toEqual(expect.arrayContaining([
      "# HELP depth How\\ndeep \\\\ it is", "# TYPE depth gauge", 'depth{process="p1"} 4',
      'depth{process="p2"} 1.7976931348623157e+308',
    ]));
    totals.forget("p1");
    expect(totals.text({})).not.toContain("p1");
    expect(totals.text({})).toContain("p2");
  });
});

describe("histograms", () => {
  test("count what is up to each bound, and add up", () => {
    const totals = new MetricTotals();
    for (const process of ["p1", "p2"]) {
      const deltas = processWith(histogram);
      for (const value of [0.5, 1, 1.5, 5, 6]) deltas.observe("took", [], value);
      told(totals, process, deltas);
    }
    expect(totals.text({}).split("\n")).toEqual([
      "# TYPE took histogram", 'took_bucket{le="1"} 4', 'took_bucket{le="5"} 8', 'took_bucket{le="+Inf"} 10', "took_sum 28",
      "took_count 10", "",
    ]);
  });
});

describe("bounds", () => {
  test("a metric has so many series in a process; the rest is counted", () => {
    const deltas = processWith(counter);
    for (let i = 0; i < 1500; i += 1) deltas.add("hits_total", [String(i)], 1);
    const totals = new MetricTotals();
    told(totals, "p", deltas);
    expect(totals.text({}).split("\n").filter((line) => line.startsWith("hits_total{"))).toHaveLength(1000);
    expect(totals.dropped).toBe(500);
  });

  test("a node has so many series; a process that ends makes room", () => {
    const totals = new MetricTotals();
    const tagged: MetricDefinition = { ...gauge, tags: ["t"] };
    for (let process = 0; process < 25; process += 1) {
      const deltas = processWith(tagged);
      for (let i = 0; i < 1000; i += 1) deltas.set("depth", [String(i)], 1);
      told(totals, `p${process}`, deltas);
    }
    expect(totals.dropped).toBe(5000);
    totals.forget("p0");
    const last = processWith(tagged);
    last.set("depth", ["new"], 9);
    told(totals, "last", last);
    expect(totals.text({})).toContain('depth{t="new",process="last"} 9');
  });

  test("one name is one metric: another shape is told, and not mixed in", () => {
    const deltas = processWith(counter);
    expect(deltas.define({ ...counter, help: "said elsewhere" })).toBeUndefined();
    expect(deltas.define({ ...counter, tags: [] })).toEqual(counter);
    expect(deltas.define({ ...counter, kind: "gauge" })).toEqual(counter);
    const totals = new MetricTotals();
    deltas.add("hits_total", ["/a"], 1);
    told(totals, "p", deltas);
    const other = processWith({ ...counter, kind: "gauge" });
    other.set("hits_total", ["/a"], 100);
    told(totals, "q", other);
    expect(totals.text({})).toContain('hits_total{route="/a"} 1\n');
    expect(totals.dropped).toBe(1);
  });
});

test("a change is announced once until it is taken", () => {
  const deltas = processWith(counter);
  let calls = 0;
  deltas.add("hits_total", ["/a"], 1);
  deltas.watch(() => (calls += 1));
  expect(calls).toBe(1);
  deltas.add("hits_total", ["/a"], 1);
  expect(calls).toBe(1);
  deltas.take();
  deltas.add("hits_total", ["/a"], 1);
  expect(calls).toBe(2);
});

test("numbers are written as Prometheus reads them", () => {
  const rows = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, 1e21, -0.5].map((value) => [{}, value] as const);
  expect(metricText("m", "gauge", "", rows)).toBe("# TYPE m gauge\nm +Inf\nm -Inf\nm NaN\nm 1e+21\nm -0.5\n");
});
