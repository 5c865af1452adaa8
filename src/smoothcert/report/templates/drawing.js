// Small parts: elements, numbers, files, and drawings of one input.
const SVG = "http://www.w3.org/2000/svg";

function make(tag, text, parent, names) {
  const node = document.createElement(tag);
  if (text !== undefined && text !== null) node.textContent = text;
  if (names) node.className = names;
  if (parent) parent.append(node);
  return node;
}

function draw(tag, attributes, parent, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}

// Never fewer digits than a number has: no radius or threshold may read as a larger one. See bounds/rounding.py.
const short = (value) => {
  const number = Number(value);
  const most = Number(number.toPrecision(15));
  return String(most < number ? most : number);
};
const percent = (permille) => `${Math.floor(permille / 10)}.${permille % 10}%`;
const ofAll = (count, inputs) => (inputs ? percent(Math.floor((1000 * count) / inputs)) : "—");
const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

// A whole multiple of the last of some decimals as text with at most three, rounded down, or up.
function fixed(number, decimals, up = false) {
  const cut = Math.max(decimals - 3, 0);
  const whole = (up ? Math.ceil : Math.floor)(number / 10 ** cut);
  const left = decimals - cut;
  return left > 0 ? (whole / 10 ** left).toFixed(left) : String(whole * 10 ** -left);
}
const exact = (number, decimals) => Number((number / 10 ** decimals).toFixed(Math.max(decimals, 0)));

// Files: saved from memory, nothing is sent anywhere.
function save(name, content, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function csv(table) {
  const cell = (value) => {
    if (value === null || value === undefined) return "";
    let text = String(value);
    if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`; // no formula of a spreadsheet
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [table.columns, ...table.rows].map((row) => row.map(cell).join(",")).join("\n") + "\n";
}

function saveTable(table, kind) {
  if (kind === "csv") {
    save(`${table.name}.csv`, csv(table), "text/csv");
    return;
  }
  const rows = table.rows.map((row) => Object.fromEntries(table.columns.map((name, i) => [name, row[i] ?? null])));
  save(`${table.name}.json`, JSON.stringify(rows, null, 1), "application/json");
}

// A figure as one drawing of its own: the panels that are shown, their titles, and the key below.
function figureSvg(figure) {
  const panels = [...figure.querySelectorAll(".panel")].filter((panel) => !panel.hidden);
  const [width, height, head, line] = [388.8, 259.2, 26, 18];
  const keys = [...figure.querySelectorAll(".key")].filter((key) => !key.hidden && key.ariaPressed !== "false");
  const across = Math.max(1, 2 * panels.length);
  const total = [width * panels.length, head + height + line * Math.ceil(keys.length / across) + 8];
  const root = draw("svg", { xmlns: SVG, viewBox: `0 0 ${total[0]} ${total[1]}`, width: total[0], height: total[1] });
  root.setAttribute("font-family", "Helvetica, Arial, sans-serif");
  draw("rect", { width: "100%", height: "100%", fill: "#ffffff" }, root);
  panels.forEach((panel, i) => {
    const title = panel.querySelector(".panel-title");
    const label = { x: width * (i + 0.5), y: 16, "text-anchor": "middle", "font-size": 11, fill: "#1c2126" };
    draw("text", label, root, title ? title.textContent.trim().replace(/\s+/g, " ") : "");
    const own = panel.querySelector("svg").cloneNode(true);
    for (const unseen of own.querySelectorAll(".guide, .off")) unseen.remove();
    for (const [name, value] of Object.entries({ x: width * i, y: head, width, height })) own.setAttribute(name, value);
    root.append(own);
  });
  keys.forEach((key, i) => {
    const swatch = key.querySelector(".swatch");
    const style = getComputedStyle(swatch);
    const [x, y] = [8 + (i % across) * (total[0] / across), head + height + line * (Math.floor(i / across) + 0.5)];
    const color = (swatch.getAttribute("style").match(/--c: ([^;]+)/) || ["", "#1c2126"])[1].replace("var(--ink)", "#1c2126");
    const dash = { dashed: "6 3", dotted: "1.5 2" }[style.borderTopStyle] || "none";
    const stroke = { x1: x, x2: x + 22, y1: y, y2: y, stroke: color, "stroke-dasharray": dash };
    draw("line", { ...stroke, "stroke-width": Math.max(1, Number.parseFloat(style.borderTopWidth) || 4) }, root);
    draw("text", { x: x + 28, y: y + 3.5, "font-size": 9, fill: "#1c2126" }, root, key.textContent.trim());
  });
  // The page's colours follow its theme; those of a file are the ones for paper.
  return new XMLSerializer().serializeToString(root).replace(/var\(--[a-z0-9-]+, (#[0-9a-f]{6})\)/g, "$1");
}

function saveFigure(figure, kind) {
  const text = figureSvg(figure);
  if (kind === "svg") {
    save(`${figure.id}.svg`, text, "image/svg+xml");
    return;
  }
  const picture = new Image();
  picture.onload = () => {
    const canvas = make("canvas");
    [canvas.width, canvas.height] = [picture.width * 3, picture.height * 3];
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    canvas.toBlob((blob) => save(`${figure.id}.png`, blob));
  };
  picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
}

// Axes of a small drawing; returns where its values go.
const COLORS = ["var(--radius-0, #0072b2)", "var(--radius-1, #d55e00)", "var(--radius-2, #009e73)", "var(--radius-3, #cc79a7)"];
const INK = "var(--ink, #1c2126)";
const SOFT = "var(--soft, #5c6670)";

function axes(parent, title, { x, y, xlabel, ylabel, yticks = true }) {
  const [left, top, width, height] = [48, 8, 331, 212];
  const svg = draw("svg", { class: "chart", viewBox: "0 0 388.8 259.2", role: "img", "aria-label": title }, parent);
  const at = {
    x: (value) => left + ((value - x[0]) / (x[1] - x[0])) * width,
    y: (value) => top + height - ((value - y[0]) / (y[1] - y[0])) * height,
  };
  const ticks = ([low, high]) => {
    const raw = (high - low) / 5;
    const unit = 10 ** Math.floor(Math.log10(raw));
    const step = unit * [1, 2, 2.5, 5, 10].find((m) => m * unit >= raw * 0.999);
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i += 1) found.push(i * step);
    return found;
  };
  const tick = (value) => String(Number(value.toPrecision(6)));
  const words = { "font-size": 9, fill: SOFT };
  for (const value of ticks(x)) {
    draw("text", { ...words, x: at.x(value), y: top + height + 14, "text-anchor": "middle" }, svg, tick(value));
  }
  for (const value of yticks ? ticks(y) : []) {
    draw("line", { x1: left, x2: left + width, y1: at.y(value), y2: at.y(value), stroke: "var(--rule, #d9dee3)", "stroke-width": 0.6 }, svg);
    draw("text", { ...words, x: left - 6, y: at.y(value) + 3, "text-anchor": "end" }, svg, tick(value));
  }
  const frame = `M${left},${top} V${top + height} H${left + width}`;
  draw("path", { d: frame, fill: "none", stroke: SOFT, "stroke-width": 0.8 }, svg);
  draw("text", { "font-size": 9, fill: INK, x: left + width / 2, y: top + height + 30, "text-anchor": "middle" }, svg, xlabel);
  const turned = { transform: `translate(12 ${top + height / 2}) rotate(-90)`, "text-anchor": "middle" };
  draw("text", { "font-size": 9, fill: INK, ...turned }, svg, ylabel);
  return { svg, at, top, bottom: top + height, left, right: left + width };
}

function path(parent, at, xs, ys, style) {
  const d = xs.map((value, i) => `${i ? "L" : "M"}${at.x(value).toFixed(1)},${at.y(ys[i]).toFixed(1)}`).join("");
  return draw("path", { d, fill: "none", "stroke-linejoin": "round", ...style }, parent);
}

// Shares of the samples in equal bins of the measure: estimation filled, pilot as an outline.
function drawHistogram(parent, { pilot, sample, ends, marks, xlabel }) {
  const bins = sample.length;
  const most = Math.max(...pilot, ...sample, 0.01);
  const plot = axes(parent, `${xlabel}: histogram of the samples`, { x: ends, y: [0, most * 1.06], xlabel, ylabel: "share of the samples" });
  const edge = (bin) => ends[0] + ((ends[1] - ends[0]) * bin) / bins;
  for (let bin = 0; bin < bins; bin += 1) {
    if (!sample[bin]) continue;
    const [x, top] = [plot.at.x(edge(bin)), plot.at.y(sample[bin])];
    const width = plot.at.x(edge(bin + 1)) - x - 0.6;
    draw("rect", { x, y: top, width, height: plot.bottom - top, fill: COLORS[0], opacity: 0.75 }, plot.svg);
  }
  const xs = [];
  const ys = [];
  for (let bin = 0; bin < bins; bin += 1) {
    xs.push(edge(bin), edge(bin + 1));
    ys.push(pilot[bin], pilot[bin]);
  }
  path(plot.svg, plot.at, xs, ys, { stroke: COLORS[1], "stroke-width": 1.2 });
  for (const { value, dash, label } of marks) {
    const x = plot.at.x(value);
    draw("line", { x1: x, x2: x, y1: plot.top, y2: plot.bottom, stroke: INK, "stroke-width": 1.2, "stroke-dasharray": dash }, plot.svg);
    const end = x > (plot.left + plot.right) / 2;
    const place = { x: x + (end ? -4 : 4), y: plot.top + (dash === "none" ? 10 : 22), "text-anchor": end ? "end" : "start" };
    const halo = { stroke: "var(--paper, #ffffff)", "stroke-width": 3, "paint-order": "stroke" };
    draw("text", { ...place, ...halo, "font-size": 9, fill: INK }, plot.svg, label);
  }
}

// Lower bounds of one input over the radius, a colour for each bound; upper ones thin.
function drawBounds(parent, { grid, curves, ends, classRadius, ylabel }) {
  const plot = axes(parent, `Certified bounds on the ${ylabel} over the radius`, { x: [0, grid[grid.length - 1] || 1], y: ends, xlabel: "radius", ylabel });
  curves.forEach(({ lower, upper }, i) => {
    if (upper) path(plot.svg, plot.at, grid, upper, { stroke: COLORS[i], "stroke-width": 0.9, opacity: 0.8 });
    path(plot.svg, plot.at, grid, lower, { stroke: COLORS[i], "stroke-width": 2 });
    if (grid.length <= 10) for (const [k, r] of grid.entries()) draw("circle", { cx: plot.at.x(r), cy: plot.at.y(lower[k]), r: 1.8, fill: COLORS[i] }, plot.svg);
  });
  if (classRadius !== undefined && classRadius <= grid[grid.length - 1]) {
    const x = plot.at.x(classRadius);
    draw("line", { x1: x, x2: x, y1: plot.top, y2: plot.bottom, stroke: SOFT, "stroke-width": 1.4, "stroke-dasharray": "1.5 2" }, plot.svg);
  }
}
