// Charts: what the server counted, drawn by uPlot. The numbers are in words beside them.
"use strict";

(() => {
  const drawn = new Map(); // by element: the drawing and the numbers it shows

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
  const moment = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });

  function numbers(chart) {
    const times = chart.lines[0].values.map((_, i) => chart.start + i * chart.step);
    return [times, ...chart.lines.map((line) => line.values)];
  }

  function options(element, chart) {
    const axis = { stroke: color("--muted"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line"), width: 1 } };
    return {
      width: element.clientWidth, height: 220,
      cursor: { points: { size: 6 } },
      axes: [{ ...axis, values: (_, times) => times.map((time) => clock.format(time * 1000)) }, { ...axis, size: 56, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 5e4, 1e5, 5e5, 1e6, 1e7] }],
      scales: { y: { range: (_, min, max) => [0, Math.max(1, max * 1.1)] } },
      series: [{ label: "Time", value: (_, time) => (time === null ? "–" : moment.format(time * 1000)) }, ...chart.lines.map((line) => ({
        label: line.name, value: (_, n) => n ?? "–", stroke: color(line.color), width: 2, points: { show: false },
        paths: uPlot.paths.stepped({ align: 1 }),
      }))],
    };
  }

  function draw(element) {
    const text = element.dataset.chart, before = drawn.get(element);
    if (before?.text === text) return;
    const chart = JSON.parse(text);
    if (before) {
      before.plot.setData(numbers(chart));
      before.text = text;
      return;
    }
    drawn.set(element, { text, plot: new uPlot(options(element, chart), numbers(chart), element) });
  }

  function drawAll() {
    for (const [element, { plot }] of drawn) {
      if (element.isConnected) continue;
      plot.destroy();
      drawn.delete(element);
    }
    document.querySelectorAll("[data-chart]").forEach(draw);
  }

  function redraw() {
    for (const { plot } of drawn.values()) plot.destroy();
    drawn.clear();
    drawAll();
  }

  document.addEventListener("htmx:afterSwap", drawAll);
  document.addEventListener("themechange", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("resize", () => {
    for (const [element, { plot }] of drawn) plot.setSize({ width: element.clientWidth, height: 220 });
  });
  drawAll();
})();
